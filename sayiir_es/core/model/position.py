"""How far a partition is folded, as one value, and the claim rule that readers apply.

Theory of operation. A batch is valid iff the last `PartitionClaimed` before it is the
one its events name. The claim in force is therefore part of the position: if it were
kept apart, a fold that stopped behind another owner's claim would begin again with the
old one. The next
command offset, the last `at`, the origins of forwarded commands and the commands that
were deferred are folded from the same events and live and die with them.

Commands are answered in the order of their offsets, but for those that were deferred:
`next_command` and `origins` moved on when they were, and do not move again when they
are answered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sayiir_es.core.fast_frozen import fast_frozen
from sayiir_es.core.model.commands import ForkWorkflow
from sayiir_es.core.model.errors import ForgedEventError, HoleInHistoryError
from sayiir_es.core.model.events import (
    Body,
    CommandAcknowledged,
    CommandDeadLettered,
    CommandDeferred,
    CommandForwarded,
    CommandRejected,
    CommandsLost,
    Event,
    PartitionClaimed,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_CLAIM = -1
NO_RECORDS = bytes(32)
"""The digest of a partition before its first event."""

_CHANGES_NOTHING = (
    CommandAcknowledged,
    CommandDeadLettered,
    CommandForwarded,
    CommandRejected,
)

_COMMAND_CAUSE = re.compile(
    r"command:([0-9]{1,10})@([0-9]{1,18})(?:<([0-9]{1,10})@([0-9]{1,18}))?"
)
"""As `CommandPosition.cause` writes it; offsets stay within 64 bits."""


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class CommandPosition:
    """Where a command stands, and where it first stood if it was forwarded."""

    partition: int
    offset: int
    origin: tuple[int, int] | None = None

    def cause(self) -> str:
        """The cause of the decision that answers it."""
        text = f"command:{self.partition}@{self.offset}"
        if self.origin is None:
            return text
        return f"{text}<{self.origin[0]}@{self.origin[1]}"


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class DeferredCommand:
    """A command that is answered later, and its place among the commands."""

    position: CommandPosition
    command: ForkWorkflow


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """What was folded so far.

    Attributes:
        offset: The next offset of `events`; everything below it is folded.
        claim: The offset of the claim in force; −1 before the first.
        owner: Who made that claim.
        next_command: The next offset of `commands` to decide.
        at: The last `at`, in epoch milliseconds.
        origins: Source partition → highest origin offset of a forwarded command: the
            last accepted one, or a higher one that was answered and not accepted.
        deferred: Offset → command that was deferred and is not answered yet. An owner
            lets no more of them wait than `Limits.deferred_commands`.
        digest: Of every valid record below the offset (`wire.checkpoint`).
        last: The offset of the last valid record below `offset`; −1 for none.
        last_before: The digest before that record. With it a reader finds out by one
            record whether the log is still the one that was folded.
    """

    offset: int = 0
    claim: int = NO_CLAIM
    owner: str = ""
    next_command: int = 0
    at: int = 0
    origins: Mapping[int, int] = field(default_factory=dict[int, int])
    deferred: Mapping[int, DeferredCommand] = field(
        default_factory=dict[int, DeferredCommand]
    )
    digest: bytes = NO_RECORDS
    last: int = -1
    last_before: bytes = NO_RECORDS


def parse_command_cause(cause: str) -> CommandPosition | None:
    """The command that a cause names; None for causes of other sorts.

    None, too, for one that begins as such a cause and goes on as no owner writes it.
    """
    match = _COMMAND_CAUSE.fullmatch(cause)
    if match is None:
        return None
    partition, offset, source, source_offset = match.groups()
    return CommandPosition(
        partition=int(partition),
        offset=int(offset),
        origin=None if source is None else (int(source), int(source_offset)),
    )


def expect(position: Position, offset: int) -> None:
    """Refuse an offset that does not follow the one before.

    Raises:
        HoleInHistoryError: if the fold would pass over, or repeat, a record.
    """
    if offset != position.offset:
        raise HoleInHistoryError(
            f"expected the event at offset {position.offset}, but the fold was given "
            f"offset {offset}"
        )


def is_valid(position: Position, claim: int, kind: str) -> bool:
    """Whether the record at `position.offset` counts; a claim always does."""
    return kind == "PartitionClaimed" or claim == position.claim


def skipped(position: Position, past: int) -> Position:
    """The position behind records that are not for us, or do not count."""
    return replace(position, offset=past)


def with_origin(
    origins: Mapping[int, int], origin: tuple[int, int], *, accepted: bool
) -> Mapping[int, int]:
    """The origins behind the answer to a forwarded command.

    Only an origin above all before it is ever accepted, unless one of those was forged:
    then the accepted one counts.
    """
    source, offset = origin
    highest = origins.get(source, -1)
    if offset == highest or (offset < highest and not accepted):
        return origins
    return {**origins, source: offset}


def is_accepted(body: Body) -> bool:
    """Whether an answer to a command says more than that it changes nothing."""
    return not isinstance(body, _CHANGES_NOTHING)


def with_answer(
    deferred: Mapping[int, DeferredCommand], position: CommandPosition, body: Body
) -> Mapping[int, DeferredCommand]:
    """The deferred commands behind the decision on one, which begins with `body`."""
    if isinstance(body, CommandDeferred):
        fork = ForkWorkflow(
            instance_id=body.deferred_instance_id,
            command_id=body.command_id,
            source_instance_id=body.source_instance_id,
            source_sequence=body.source_sequence,
        )
        waiting = DeferredCommand(position=position, command=fork)
        return {**deferred, position.offset: waiting}
    if position.offset not in deferred:
        return deferred
    return {at: waiting for at, waiting in deferred.items() if at != position.offset}


def advanced(
    position: Position, event: Event, digest: bytes, partitions: int
) -> Position:
    """The position behind a valid event, whose record makes `digest` of the one before.

    A claim may be older than what stands before it: an append whose writer gave up
    lands at any later time, a claim too. It counts, and time does not go back. An
    origin that is none of the app's `partitions` is left out: earlier builds wrote what
    a command's header said.

    Raises:
        ForgedEventError: if `at` of another event goes backwards, or its cause names a
            command as no owner does.
    """
    if event.at < position.at and not isinstance(event.body, PartitionClaimed):
        raise ForgedEventError(
            f"expected `at` ≥ {position.at} at offset {position.offset}, but "
            f"{event.kind} says {event.at}"
        )
    claim, owner = position.claim, position.owner
    next_command, origins = position.next_command, position.origins
    deferred = position.deferred
    if isinstance(event.body, PartitionClaimed):
        claim, owner = position.offset, event.body.owner
        next_command = max(next_command, event.body.next_command)
    elif isinstance(event.body, CommandsLost):
        next_command = max(next_command, event.body.end_offset)
    elif event.cause.startswith("command:"):
        command = parse_command_cause(event.cause)
        if command is None:
            raise ForgedEventError(
                f"expected `cause` to name a command at offset {position.offset}, but "
                f"{event.kind} says {event.cause[:100]!r}"
            )
        if command.offset >= next_command:
            next_command = command.offset + 1
            if command.origin is not None and command.origin[0] < partitions:
                origins = with_origin(
                    origins, command.origin, accepted=is_accepted(event.body)
                )
        deferred = with_answer(deferred, command, event.body)
    return Position(
        offset=position.offset + 1,
        claim=claim,
        owner=owner,
        next_command=next_command,
        at=max(position.at, event.at),
        origins=origins,
        deferred=deferred,
        digest=digest,
        last=position.offset,
        last_before=position.digest,
    )
