"""What an event loop did not have time for: stalls, and heartbeats of the group."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sayiir_es.log.port import Membership

STALL_S = 0.020
"""What the design allows one portion of work."""


class LoopWatch:
    """Measures the event loop that it runs on, and the membership beside it.

    A stall is the time between two turns of the loop, which therefore never sleeps. By
    the processor time of its thread, too: other programs do not count there.
    """

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self.longest_s = self.longest_cpu_s = self.heartbeat_gap_s = 0.0
        self.stalls = self.lapses = 0

    async def run(self) -> None:
        """Look at the clocks at each turn, for ever."""
        lapses_before = self._membership.current().lapses
        fresh_s = self._membership.current().fresh_at_s
        before_s, cpu_s = time.perf_counter(), time.thread_time()
        while True:
            await asyncio.sleep(0)
            after_s, after_cpu_s = time.perf_counter(), time.thread_time()
            took_s, own_s = after_s - before_s, after_cpu_s - cpu_s
            self.longest_s = max(self.longest_s, took_s)
            self.longest_cpu_s = max(self.longest_cpu_s, own_s)
            self.stalls += own_s > STALL_S
            current = self._membership.current()
            self.lapses = current.lapses - lapses_before
            self.heartbeat_gap_s = max(
                self.heartbeat_gap_s, current.fresh_at_s - fresh_s
            )
            fresh_s = current.fresh_at_s
            before_s, cpu_s = time.perf_counter(), time.thread_time()

    def figures(self) -> dict[str, float]:
        """What was measured; times in milliseconds."""
        return {
            "stall_ms": self.longest_s * 1000,
            "stall_cpu_ms": self.longest_cpu_s * 1000,
            "stalls": self.stalls,
            "heartbeat_gap_ms": self.heartbeat_gap_s * 1000,
            "lapses": self.lapses,
        }
