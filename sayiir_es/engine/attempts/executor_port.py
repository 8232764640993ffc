"""The executor port: attempts with their slots, and what comes back from them.

Theory of operation. An executor has a bounded number of *slots*, shared by all
partitions of its process. The owner asks for a slot (`reserve`, or `enqueue` when none
is free); an attempt with a time-out records its deadline first, then `start` runs the
function. Whatever happens comes back as one `Outcome` through `reported` of the
attempt's owner, on the event loop. Inputs are decoded and results encoded in here,
inside the attempt, so that the owner handles bytes only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection

    from sayiir_es.engine.attempts.attempt import Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorState:
    """What an executor does now.

    Attributes:
        slots: How many attempts may run at a time.
        running: How many run.
        queued: How many wait for a slot.
        input_bytes: How many bytes of inputs those that run hold.
        threads_abandoned: Threads that still run the code of attempts taken back.
    """

    slots: int
    running: int
    queued: int
    input_bytes: int
    threads_abandoned: int


class Executor(Protocol):
    """Runs attempts; holds no state of any workflow."""

    def reserve(self, attempt: Attempt) -> bool:
        """Grant a slot at once, if one is free and nothing queues."""
        ...

    def enqueue(self, attempt: Attempt) -> None:
        """Queue for a slot; `granted` of the attempt's owner follows."""
        ...

    def withdraw(self, attempt: Attempt) -> bool:
        """Take a queued attempt back; False if it does not queue."""
        ...

    def release(self, attempt: Attempt) -> None:
        """Give back the slot of an attempt that was granted one and will not start."""
        ...

    def pass_on(self, attempt: Attempt) -> None:
        """A queued attempt goes elsewhere: it is granted, and waits here no more."""
        ...

    def take_room(self, attempt: Attempt, size: int) -> bool:
        """Room for an input of so many bytes; without it `room_freed` follows."""
        ...

    def start(self, attempt: Attempt) -> None:
        """Run an attempt in the slot that was granted to it."""
        ...

    def request_cancel(self, attempt: Attempt, grace_s: float) -> None:
        """Tell a running attempt: its context says cancelled.

        Behind `grace_s` seconds it is withdrawn, and reports so: an async one when its
        cancellation has ended it, or behind as many seconds more; a sync one goes on in
        a thread that counts no longer.
        """
        ...

    def abandon(self, attempt: Attempt, *, report: bool) -> None:
        """Withdraw a running attempt: its slot is free again.

        An async one is cancelled; a sync one goes on in a thread that counts no longer.
        With `report` its late outcome still comes; of an async one nothing does.
        """
        ...

    def running(self) -> Collection[Attempt]:
        """The attempts that run now."""
        ...

    def observe(self) -> ExecutorState:
        """What it does now."""
        ...

    async def close(self) -> None:
        """Cancel what runs and end the threads that are idle; waits for nobody."""
        ...
