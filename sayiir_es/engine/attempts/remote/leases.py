"""Watches the attempts of one partition that must be heard of.

Theory of operation. An attempt elsewhere is lost when nothing is heard of it for its
lease; and one whose task asks for heartbeats, wherever it runs, has failed when its
function tells none for so long. Time counts as long as the watch itself runs: a process
that stood still must not take for silent whom it could not hear.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from sayiir_es.engine.attempts.attempt import Attempt

logger = get_logger(__name__)

TICK_S = 0.25
"""How often, in seconds, it is looked who is silent."""

TICK_MOST_S = 1.0
"""So much time counts at most between two looks."""


class Listener(Protocol):
    """Whom the watch tells."""

    def lost(self, attempt: Attempt) -> None:
        """Nothing was heard of an attempt elsewhere for its lease."""
        ...

    def stalled(self, attempt: Attempt, silent_ms: int) -> None:
        """The function of an attempt told no heartbeat for so long."""
        ...


class Leases:
    """The attempts of one partition that are elsewhere, or must tell heartbeats."""

    def __init__(self) -> None:
        self.listener: Listener | None = None
        self._now_s = 0.0
        self._ticked_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._attempts: dict[Attempt, tuple[float, int]] = {}
        """When a heartbeat was last told of, and how many there were by then."""
        self.elsewhere = 0
        """How many of them are elsewhere."""

    def __len__(self) -> int:
        return len(self._attempts)

    def add(self, attempt: Attempt) -> None:
        """It runs from now on."""
        lease = attempt.lease
        if lease is None and attempt.heartbeat_timeout_ms is None:
            return
        if attempt in self._attempts:
            return
        if not self._attempts:
            self._start()
        self._attempts[attempt] = (self._now_s, attempt.beats)
        if lease is not None:
            self.elsewhere += 1
            if lease.heard_s >= 0:  # else it was lost on its way
                lease.heard_s = self._now_s

    def remove(self, attempt: Attempt) -> None:
        """It runs no more; nothing where it is not here."""
        if self._attempts.pop(attempt, None) is None:
            return
        if attempt.lease is not None:
            self.elsewhere -= 1
        if not self._attempts:
            self._stop()

    def clear(self) -> None:
        """Forget all."""
        self._attempts.clear()
        self.elsewhere = 0
        self._stop()

    def heard(self, attempt: Attempt, details: bytes | None) -> None:
        """Its executor has told that it has it; with details, a heartbeat of it."""
        assert attempt.lease is not None
        attempt.lease.heard_s = self._now_s
        if details is not None:
            attempt.lease.details = details
            attempt.beats += 1

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        self._ticked_s = loop.time()
        self._timer = loop.call_later(TICK_S, self._tick)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        self._now_s += min(now_s - self._ticked_s, TICK_MOST_S)
        self._ticked_s = now_s
        self._timer = loop.call_later(TICK_S, self._tick)
        if self.listener is None:
            return
        for attempt in tuple(self._attempts):
            try:
                self._look_at(attempt, self.listener)
            except Exception as error:
                # The others are looked at, and this one again at the next tick.
                logger.exception(
                    "attempt.not_looked_at",
                    instance_id=attempt.instance_id,
                    path=attempt.path,
                    attempt=attempt.number,
                    exc_info=error,
                )

    def _look_at(self, attempt: Attempt, listener: Listener) -> None:
        known = self._attempts.get(attempt)
        if known is None:
            return  # what became of another one took it away, too
        beat_s, beats = known
        lease = attempt.lease
        if lease is not None:
            silent_ms = (self._now_s - lease.heard_s) * 1000
            if silent_ms >= lease.handout.lease_ms:
                listener.lost(attempt)
                return
        limit_ms = attempt.heartbeat_timeout_ms
        if limit_ms is None:
            return
        if attempt.beats != beats:
            self._attempts[attempt] = (self._now_s, attempt.beats)
        elif (self._now_s - beat_s) * 1000 >= limit_ms:
            listener.stalled(attempt, limit_ms)
