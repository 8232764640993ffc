"""Rows and the position of a snapshot store as bytes, and back.

Theory of operation. A record is a msgpack array of its tag and its fields by position;
a tuple is an array with the tag 0; bytes, text, integers and None are written as they
are. So every array has a tag, nested records need no rule of their own, and a record of
a new kind is one line in `_TAGS`. Mappings are written in the order of their keys, so
that the same row is always the same bytes. Only the snapshot store reads these bytes:
who changes this encoding raises `FOLD_VERSION`, and old stores are deleted.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeGuard

import msgpack

from sayiir_es.core.model.child_records import EndReport, OpenChild, Parent
from sayiir_es.core.model.commands import ForkWorkflow
from sayiir_es.core.model.errors import StoreError
from sayiir_es.core.model.position import CommandPosition, DeferredCommand, Position
from sayiir_es.core.model.rows import (
    Ask,
    Caught,
    Cursor,
    DebouncedStart,
    Ending,
    Header,
    Limit,
    LimitSetting,
    Permit,
    Quarantine,
    QueuedRun,
    Request,
    Row,
    Run,
    RunPermitMessage,
    StartQueueSetting,
    StartQueueState,
)
from sayiir_es.core.model.waits import (
    Awaiting,
    AwaitingChild,
    AwaitingRunPermit,
    Branching,
    Broken,
    Debouncing,
    Ended,
    ErrorDetails,
    Failure,
    Granting,
    HoldingRunPermit,
    Inside,
    Listening,
    Looping,
    RequestingChild,
    Routing,
    RunDeadline,
    Sleeping,
    Trying,
)
from sayiir_es.core.status.list_entry import EntryGroup, ListEntry
from sayiir_es.engine.store.port import StoreIdentity
from sayiir_es.wire.errors import EXCERPT_CHARACTERS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import DataclassInstance

_TUPLE = 0
_TAGS: Mapping[int, type[DataclassInstance]] = {
    1: Header,
    2: Run,
    3: Cursor,
    4: Ending,
    5: Request,
    6: Failure,
    7: Awaiting,
    8: Sleeping,
    9: Listening,
    10: Ended,
    11: Broken,
    12: Position,
    13: StoreIdentity,
    14: Branching,
    15: Routing,
    16: Looping,
    17: Inside,
    18: Quarantine,
    19: DeferredCommand,
    20: CommandPosition,
    21: ForkWorkflow,
    22: ErrorDetails,
    23: RunDeadline,
    24: Trying,
    25: Caught,
    26: Parent,
    27: OpenChild,
    28: EndReport,
    29: AwaitingChild,
    30: RequestingChild,
    31: Permit,
    32: Limit,
    33: Ask,
    40: AwaitingRunPermit,
    41: HoldingRunPermit,
    42: StartQueueState,
    43: QueuedRun,
    44: RunPermitMessage,
    45: Debouncing,
    46: DebouncedStart,
    47: StartQueueSetting,
    34: LimitSetting,
    35: Granting,
}
"""Within a fold version a tag always means the same record."""

_ROWS = (
    *(Header, Run, Cursor, Ending, Quarantine, Caught, OpenChild, EndReport),
    *(Permit, Limit, LimitSetting, Ask),
    *(StartQueueState, StartQueueSetting, QueuedRun, RunPermitMessage),
    DebouncedStart,
    *(bytes, int, str),
)


def encode_row(row: Row) -> bytes:
    """The bytes of a row.

    Raises:
        StoreError: if it holds a value that no row may hold.
    """
    try:
        return _packing.pack(row)
    except _UNPACKABLE as error:
        raise _encode_error(error) from error


def decode_row(data: bytes) -> Row:
    """The row of bytes that `encode_row` made.

    Raises:
        StoreError: if they are something else, or of a kind that this build lacks.
    """
    row = _decode(data)
    if not _is_row(row):
        raise StoreError(f"expected a row, but the store holds {_shorten(row)}")
    return row


def encode_position(identity: StoreIdentity, position: Position) -> bytes:
    """The bytes of a position, with the identity of the store."""
    return _encode((identity, position))


def decode_position(data: bytes) -> tuple[StoreIdentity, Position]:
    """The identity and position of bytes that `encode_position` made.

    Raises:
        StoreError: if they are something else.
    """
    match _decode(data):
        case (StoreIdentity() as identity, Position() as position):
            return identity, position
        case other:
            raise StoreError(
                f"expected a position, but the store holds {_shorten(other)}"
            )


def encode_entry(entry: ListEntry) -> bytes:
    """The bytes of what lists say of an instance; its id and start are in the key."""
    attributes = entry.attributes
    return _encode(
        [
            entry.updated_at,
            entry.status,
            entry.workflow,
            entry.error_type,
            {name: attributes[name] for name in sorted(attributes)},
            entry.error_in,
            entry.version,
            entry.graph_digest,
            [*entry.waited],
            entry.parent,
        ]
    )


def decode_entry(data: bytes, instance_id: str, started_at: int) -> ListEntry:
    """The entry of bytes that `encode_entry` made.

    Raises:
        StoreError: if they are something else.
    """
    try:
        values = _unpack_list(data)
        updated_at, status, workflow, error_type, attributes, *others = values
        error_in, version, graph_digest, waited, parent = others
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"expected the bytes of an entry, but {type(error).__name__}: {error}"
        ) from error
    return ListEntry(
        instance_id=instance_id,
        started_at=started_at,
        updated_at=updated_at,
        status=status,
        workflow=workflow,
        error_type=error_type,
        attributes=attributes,
        error_in=error_in,
        version=version,
        graph_digest=graph_digest,
        waited=tuple(waited),
        parent=parent,
    )


def encode_group(group: EntryGroup) -> bytes:
    """The bytes of a group of instances; of equal groups they are the same."""
    return _encode([*group[:-1], [*group.waited]])


def decode_group(data: bytes) -> EntryGroup:
    """The group of bytes that `encode_group` made.

    Raises:
        StoreError: if they are something else.
    """
    try:
        status, workflow, error_type, error_in, version, digest, waited = _unpack_list(
            data
        )
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"expected the bytes of a group, but {type(error).__name__}: {error}"
        ) from error
    return EntryGroup(
        status=status,
        workflow=workflow,
        error_type=error_type,
        error_in=error_in,
        version=version,
        graph_digest=digest,
        waited=tuple(waited),
    )


def _is_row(value: object) -> TypeGuard[Row]:
    return isinstance(value, (*_ROWS, tuple)) and not isinstance(value, bool)


def _is_mapping(value: object) -> TypeGuard[Mapping[str | int, object]]:
    return isinstance(value, Mapping)


# --- records --------------------------------------------------------------------------


def _make_getter(
    record: type[DataclassInstance],
) -> Callable[[object], tuple[object, ...]]:
    """A function that reads the fields of a record, in order; mappings by key."""
    names = [field.name for field in fields(record)]
    mapped = [
        index
        for index, field in enumerate(fields(record))
        if str(field.type).startswith("Mapping")
    ]
    if not names:
        return lambda _: ()
    if len(names) == 1:
        get_field = attrgetter(names[0])
        return lambda value: (get_field(value),)
    get_fields: Callable[[object], tuple[object, ...]] = attrgetter(*names)
    if not mapped:
        return get_fields

    def read_sorted(value: object) -> tuple[object, ...]:
        values = list(get_fields(value))
        for index in mapped:
            mapping = values[index]
            if _is_mapping(mapping):
                # Integer keys are sorted as text: not in order, but always the same.
                values[index] = {key: mapping[key] for key in sorted(mapping, key=str)}
        return tuple(values)

    return read_sorted


_WRITERS: dict[type, tuple[int, Callable[[object], tuple[object, ...]]]] = {
    record: (tag, _make_getter(record)) for tag, record in _TAGS.items()
}
_READERS: dict[int, tuple[Callable[..., object], tuple[str, ...]]] = {
    tag: (record, tuple(field.name for field in fields(record)))
    for tag, record in _TAGS.items()
}


def _untagged(value: object) -> list[object]:
    """The array of a value that msgpack does not support by itself."""
    kind: type = type(value)
    writer = _WRITERS.get(kind)
    if writer is None:
        if isinstance(value, tuple):
            return [_TUPLE, *value]
        raise TypeError(f"a row holds {value!r}")
    tag, get_fields = writer
    return [tag, *get_fields(value)]


def _tagged(array: list[object]) -> object:
    """The tuple or record of an array whose elements are decoded already."""
    tag = array[0] if array else None
    if tag == _TUPLE:
        return tuple(array[1:])
    reader = _READERS.get(tag) if isinstance(tag, int) else None
    if reader is None:
        raise StoreError(f"expected a known tag, but the store holds {_shorten(array)}")
    record, names = reader
    if len(array) != len(names) + 1:
        raise StoreError(
            f"expected the {len(names)} fields {names!r}, but the store holds "
            f"{_shorten(array)}"
        )
    return record(**dict(zip(names, array[1:], strict=True)))


# --- msgpack --------------------------------------------------------------------------


class _Packing(threading.local):
    """A packer for each thread: making one costs more than packing a row.

    After an error a packer can be used again.
    """

    def __init__(self) -> None:
        packer = msgpack.Packer(default=_untagged, strict_types=True)  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]  # ships no hints
        self.pack: Callable[[object], bytes] = packer.pack  # pyright: ignore[reportUnknownMemberType]  # as above


_packing = _Packing()
_UNPACKABLE = (TypeError, ValueError, OverflowError)
_unpack_list: Callable[[bytes], list[Any]] = msgpack.unpackb  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]  # ships no hints
_unpack: Callable[..., object] = msgpack.unpackb  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]  # ships no hints


def _encode(value: object) -> bytes:
    try:
        return _packing.pack(value)
    except _UNPACKABLE as error:
        raise _encode_error(error) from error


def _encode_error(error: Exception) -> StoreError:
    return StoreError(f"expected what a store can hold, but {error}")


def _decode(data: bytes) -> object:
    try:
        return _unpack(data, list_hook=_tagged, strict_map_key=False)
    except (TypeError, ValueError) as error:
        # Every error of msgpack itself is a ValueError. The repr of one of them would
        # show all the bytes; its text shows none.
        raise StoreError(
            f"expected the bytes of a row, but {type(error).__name__}: {error}"
        ) from error


def _shorten(value: object) -> str:
    return repr(value)[:EXCERPT_CHARACTERS_MAX]
