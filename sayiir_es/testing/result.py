"""The result of a scenario."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.wire.payload_codec import JSON_PAYLOADS

if TYPE_CHECKING:
    from sayiir_es.core.model.events import Event
    from sayiir_es.core.status.status import Status
    from sayiir_es.wire.payload_codec import Payloads


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The state of a workflow when none of its attempts runs.

    Attributes:
        state: Its whole status.
        events: The instance's events, in order.
        payloads: What reads the values in them.
    """

    state: Status
    events: tuple[Event, ...]
    payloads: Payloads = JSON_PAYLOADS

    @property
    def status(self) -> str:
        """One of Sayiir's seven: `completed`, `waiting`, `awaiting_signal`, …."""
        return self.state.status

    @property
    def output(self) -> object:
        """The output of a completed workflow, decoded; None before."""
        data = self.state.output
        return None if data is None else self.payloads.decode(data)

    @property
    def error(self) -> str | None:
        """Why it failed."""
        return self.state.error

    @property
    def compensated(self) -> tuple[str, ...]:
        """Paths of the tasks whose effect is undone, the one that completed last first.

        Of a workflow that failed or was cancelled, or is about to.
        """
        return self.state.compensated

    @property
    def not_compensated(self) -> tuple[str, ...]:
        """Paths of the tasks whose effect could not be undone."""
        return self.state.not_compensated

    @property
    def waiting_for(self) -> str:
        """What it waits for, in a sentence."""
        return self.state.waiting_for

    @property
    def kinds(self) -> list[str]:
        """The kinds of its events, in order."""
        return [event.kind for event in self.events]

    @property
    def outcome(self) -> tuple[str, object, str | None]:
        """The part that a crash must not change: status, output, error."""
        return self.status, self.output, self.error
