"""The kinds of event that are of the partition: claims, and commands that move."""

from __future__ import annotations

from dataclasses import dataclass

from sayiir_es.core.fast_frozen import fast_frozen


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionClaimed:
    """From here on `owner` decides for the partition; its offset is the claim.

    The last three are a checkpoint of what stands before it (`wire.checkpoint`);
    `digest` is empty where none was made, `signature` where there was no key.
    """

    owner: str
    build: str
    next_command: int
    digest_end: int = 0
    digest: bytes = b""
    signature: bytes = b""


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class CommandForwarded:
    """The command stood on the wrong partition and now stands on the right one."""

    forwarded_instance_id: str
    to_partition: int
    to_offset: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class CommandDeadLettered:
    """The command could not be read; `dead_letter` (`P@O`) holds its bytes."""

    reason: str
    dead_letter: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class CommandDeferred:
    """The command waits for what must be read first; it is answered later, once.

    It holds the whole `ForkWorkflow`, so that any later owner can answer it, whether
    the commands topic still has it or not.
    """

    command: str
    command_id: str
    deferred_instance_id: str
    source_instance_id: str
    source_sequence: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class CommandsLost:
    """The commands topic no longer holds the commands that were next; they are passed.

    From `first_offset` up to, not including, `end_offset`. Nobody has read them. Who
    serves the app has accepted the loss: `accepted_by`, for a `reason`.
    """

    first_offset: int
    end_offset: int
    accepted_by: str
    reason: str
