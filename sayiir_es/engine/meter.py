"""The meter port: what the parts of an engine tell about their work.

Theory of operation. The engine knows no library of metrics. It tells a meter what
happened, once a batch or once an attempt, and never anything that costs a look-up. The
meter here forgets it all, and reads no clock: so an engine that nobody measures pays
for some empty calls a batch. Whoever measures gives the engine a meter that counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.inputs import OutcomeResult
    from sayiir_es.log.port import NewRecord


class AnsweredCommand(Protocol):
    """A command with the first event of its decision."""

    @property
    def event(self) -> Event:
        """That event."""
        ...


class AppendedBatch(Protocol):
    """A batch that the log holds."""

    @property
    def records(self) -> Sequence[NewRecord]:
        """The records of its events."""
        ...

    @property
    def decided(self) -> Sequence[AnsweredCommand]:
        """The commands that were decided in it."""
        ...

    @property
    def decisions(self) -> int:
        """How many decisions are in it."""
        ...

    @property
    def timers_late_ms(self) -> Sequence[int]:
        """How late each timer was that was decided on, in milliseconds."""
        ...


class Meter:
    """Is told what an engine does; this one forgets it. Times in seconds.

    Always called on the event loop of the engine.

    Attributes:
        now_s: Tells the time by which durations are told; 0 where nobody measures.
    """

    def __init__(self, now_s: Callable[[], float] = float) -> None:
        """By default time stands still, at `float()`."""
        self.now_s = now_s

    def batch_appended(
        self, batch: AppendedBatch, *, decide_s: float, append_s: float
    ) -> None:
        """The log acknowledged a batch; how long each took."""

    def attempt_retried(self, workflow: str) -> None:
        """An attempt failed, and is tried again."""

    def attempt_started(self, workflow: str, waited_s: float) -> None:
        """An attempt runs, which had been due for so long."""

    def attempt_ended(self, workflow: str, result: OutcomeResult, ran_s: float) -> None:
        """The function of an attempt ended, or came back without having begun."""

    def attempt_abandoned(
        self, workflow: str, deadline_at_ms: int | None, ran_s: float
    ) -> None:
        """A running attempt was taken back: timed out, handed over, or unwanted."""

    def claimed(self, *, taken_over: bool) -> None:
        """A partition was claimed; whether another process's claim was displaced."""

    def tenure_ended(self, reason: str) -> None:
        """An owner decides no longer, by an error with this code."""

    def request_came(self, kind: str) -> None:
        """A client asked something; `kind` is the class of the request."""

    def reply_sent(self, kind: str, code: str) -> None:
        """A client was told something; `code` says why it was refused, if it was."""


NO_METER = Meter()
"""Where nobody measures."""
