"""I3: the commands of a partition are answered in offset order, each exactly once.

A command may be deferred at its turn: then it is answered later, out of order, exactly
once too, and by what a fork is answered with. At the end of a log it may still wait.

Theory of operation. Answers are kept as they come, and compared with the commands as
these are read, so that neither topic must be held in memory. `commands_wanted` says how
far the commands are needed; a reader that gives them that far after each chunk of
events keeps both queues short.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.audit.violation import BreachError, Violation
from sayiir_es.core.model import events as kinds
from sayiir_es.core.model.child_events import ChildStartRefused
from sayiir_es.core.model.debounce_events import StartDebounced
from sayiir_es.core.model.permit_events import (
    LimitSet,
    PermitQueued,
    PermitReturned,
    PermitTaken,
)
from sayiir_es.core.model.position import CommandPosition, parse_command_cause
from sayiir_es.core.model.run_permit_events import (
    RunPermitQueued,
    RunPermitRefused,
    RunPermitReturned,
    RunPermitTaken,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.model.events import Body, Event

ALONE = frozenset(
    {
        kinds.CommandRejected,
        kinds.CommandAcknowledged,
        kinds.CommandForwarded,
        kinds.CommandDeadLettered,
        kinds.CommandDeferred,
    }
)
"""Answers that are a whole decision."""

TO_DEFERRED = frozenset(
    {kinds.CommandAcknowledged, kinds.CommandRejected, kinds.WorkflowForked}
)
"""What may answer a command that was deferred."""

ACCEPTING = frozenset(
    {
        kinds.WorkflowStarted,
        kinds.CancelRequested,
        kinds.PauseRequested,
        kinds.WorkflowUnpaused,
        kinds.WorkflowTerminated,
        kinds.WorkflowRetried,
        kinds.WorkflowForked,
        kinds.WorkflowMigrated,
        kinds.InstanceReleased,
        kinds.SignalReceived,
        LimitSet,
        PermitQueued,
        PermitReturned,
        PermitTaken,
        RunPermitQueued,
        RunPermitRefused,
        RunPermitReturned,
        RunPermitTaken,
        StartDebounced,
    }
)
"""Answers that begin a decision; `WorkflowStarted` may follow `WorkflowTerminated`."""

ONLY_COMMANDS = ALONE | ACCEPTING

FOLLOWS: dict[type[Body], type[Body]] = {
    kinds.WorkflowStarted: kinds.WorkflowTerminated,
    ChildStartRefused: kinds.CommandRejected,
}
"""What may stand behind an answer, in its decision, though it is one or that is all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """An answer to `command`, or a claim that passed all below it, by the event at."""

    command: int
    answered: bool
    offset: int
    instance_id: str


class AnswerRules:
    """Answers of one partition, and the commands that they answer."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._next = 0
        """One above the highest command answered, or passed by a claim."""
        self._last: type[Body] | None = None
        self._copies = 0
        """Events of a fork's source that follow; each was an answer there, if any."""
        self._origins: dict[int, int] = {}
        self._deferred: dict[int, Event] = {}
        """Offset of a command → its `CommandDeferred`, until it is answered."""
        self._answers: deque[_Answer] = deque()
        self._commands: deque[int] = deque()
        self._commands_end = -1
        """Up to which offset the commands were given; −1: no commands at all."""
        self._start = 0

    @property
    def commands_wanted(self) -> int:
        """Up to which offset, exclusive, commands are needed."""
        return self._next

    def check(self, event: Event, offset: int, *, begins: bool) -> None:
        """Check an event's place among the answers.

        Raises:
            BreachError: if it breaks I3.
        """
        kind, before = type(event.body), self._last
        if self._copies and not begins:
            self._copies, self._last = self._copies - 1, None
            return
        self._last, self._copies = kind, 0
        if isinstance(event.body, kinds.WorkflowForked):
            self._copies = event.body.source_sequence
        if isinstance(event.body, kinds.PartitionClaimed):
            if event.body.next_command > self._next:
                self._next = event.body.next_command
                self._answers.append(
                    _Answer(
                        command=self._next,
                        answered=False,
                        offset=offset,
                        instance_id="",
                    )
                )
            return
        if isinstance(event.body, kinds.CommandsLost):
            self._check_loss(event.body, offset)
            return
        if not event.cause.startswith("command:"):
            if kind in ONLY_COMMANDS:
                raise BreachError(
                    "I3", f"a command as the cause of {event.kind}", repr(event.cause)
                )
            return
        if not begins:
            follows = FOLLOWS.get(kind) is before
            if (kind in ONLY_COMMANDS or before in ALONE) and not follows:
                raise BreachError(
                    "I3", f"one answer to {event.cause!r}", f"{event.kind} behind it"
                )
            return
        self._check_place(event, offset)

    def _check_loss(self, body: kinds.CommandsLost, offset: int) -> None:
        """The next commands are gone: none of them is answered, none is there."""
        if body.first_offset != self._next or body.end_offset <= self._next:
            raise BreachError(
                "I3",
                f"a loss from command {self._next} on",
                f"one of {body.first_offset} to {body.end_offset}",
            )
        self._next = body.end_offset
        self._answers.append(
            _Answer(command=self._next, answered=False, offset=offset, instance_id="")
        )

    def _check_place(self, event: Event, offset: int) -> None:
        try:
            place = parse_command_cause(event.cause)
        except ValueError:
            place = None
        if place is None or place.partition != self._partition:
            raise BreachError(
                "I3", f"a command of partition {self._partition}", repr(event.cause)
            )
        deferred = self._deferred.pop(place.offset, None)
        if deferred is not None:
            _check_answer(event, deferred)
            return
        if isinstance(event.body, kinds.CommandDeferred):
            self._deferred[place.offset] = event
        if place.offset < self._next:
            raise BreachError(
                "I3",
                f"an answer to a command from {self._next} on",
                f"{event.kind} answers {event.cause!r}",
            )
        self._next = place.offset + 1
        self._answers.append(
            _Answer(
                command=place.offset,
                answered=True,
                offset=offset,
                instance_id=event.instance_id,
            )
        )
        if place.origin is not None:
            self._check_origin(event, place)

    def _check_origin(self, event: Event, place: CommandPosition) -> None:
        assert place.origin is not None
        source, first_offset = place.origin
        if first_offset > self._origins.get(source, -1):
            self._origins[source] = first_offset
        elif type(event.body) not in ALONE - {kinds.CommandDeferred}:
            self._origins[source] = first_offset  # as the fold does: one was forged
            raise BreachError(
                "I3",
                f"{event.cause!r} to be a duplicate: it was forwarded twice",
                event.kind,
            )

    def take_commands(
        self, offsets: Sequence[int], past: int, start: int
    ) -> list[Violation]:
        """Take the offsets of the commands that follow; none is left out below `past`.

        `start` is the first offset that the topic has kept.
        """
        self._commands.extend(offsets)
        self._commands_end, self._start = past, max(start, self._start)
        return self.compare()

    def compare(self) -> list[Violation]:
        """Compare the answers noted with the commands given, as far as both go."""
        violations: list[Violation] = []
        while self._answers and self._answers[0].command < self._commands_end:
            violations += self._compare(self._answers.popleft())
        return violations

    def finish(self) -> list[Violation]:
        """Compare what is left: no more commands come."""
        violations: list[Violation] = []
        while self._answers and self._commands_end >= 0:
            violations += self._compare(self._answers.popleft())
        return violations

    def _compare(self, answer: _Answer) -> list[Violation]:
        command, offset, instance_id = answer.command, answer.offset, answer.instance_id
        skipped: list[int] = []
        while self._commands and self._commands[0] < command:
            skipped.append(self._commands.popleft())
        violations: list[Violation] = []
        if skipped:
            violations.append(
                self._violation(
                    offset,
                    instance_id,
                    f"command {self._partition}@{skipped[0]} to be answered before",
                    f"{len(skipped)} passed over",
                )
            )
        if not answer.answered:
            return violations
        if self._commands and self._commands[0] == command:
            self._commands.popleft()
        elif command >= self._start:
            violations.append(
                self._violation(
                    offset,
                    instance_id,
                    f"a command at {self._partition}@{command}",
                    "there is none",
                )
            )
        return violations

    def _violation(
        self, offset: int, instance_id: str, expected: str, seen: str
    ) -> Violation:
        return Violation(
            invariant="I3",
            partition=self._partition,
            offset=offset,
            instance_id=instance_id,
            expected=expected,
            seen=seen,
        )


def _check_answer(event: Event, deferred: Event) -> None:
    """A command that was deferred is answered as it was written there."""
    body, asked = event.body, deferred.body
    assert isinstance(asked, kinds.CommandDeferred)
    if type(body) not in TO_DEFERRED:
        raise BreachError(
            "I3", f"an answer to the deferred {event.cause!r}", f"{event.kind}"
        )
    if event.cause != deferred.cause:
        raise BreachError("I3", f"the cause {deferred.cause!r}", repr(event.cause))
    if event.instance_id != asked.deferred_instance_id:
        raise BreachError(
            "I3", f"an answer about {asked.deferred_instance_id!r}", event.instance_id
        )
    source = (asked.source_instance_id, asked.source_sequence)
    if isinstance(body, kinds.WorkflowForked) and source != (
        body.source_instance_id,
        body.source_sequence,
    ):
        raise BreachError(
            "I3",
            f"a fork of {source[0]!r} at {source[1]}",
            f"one of {body.source_instance_id!r} at {body.source_sequence}",
        )
