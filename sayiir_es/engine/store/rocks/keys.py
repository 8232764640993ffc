"""The keys of a snapshot store: bytes that sort in the order in which they are read.

    P                            identity and position, one value
    I <instance> <row key>       a row
    W <instance> <row key>       by that row the instance may owe something
    M <instance> <row key>       by that row it owes a message to another instance
    H <instance> <row key>       by that row it has a permit, or a limit has lent one
    T <time> <instance> <chain>  that cursor wakes at the time, 8 bytes big-endian
    L <time> <instance>          what lists say of an instance that was started then
    S <status> <time> <instance> that one is in the status; one byte, see `STATUSES`
    U <status> <time> <instance> in the status, its last event was then: its start; for
                                 those that are not in progress
    N <group>                    how many instances are in the group

An instance id is encoded so that no id is the beginning of another and the order is
that of the ids: NUL becomes 00 FF, and 00 01 ends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from sayiir_es.core.model.errors import StoreError
from sayiir_es.core.status.status import StatusName
from sayiir_es.wire.errors import excerpt_of

if TYPE_CHECKING:
    from sayiir_es.core.status.list_entry import ListEntry
    from sayiir_es.core.status.search import TimeName

POSITION = b"P"
ROW = b"I"
OWING = b"W"
MESSAGE = b"M"
PERMITS = b"H"
TIMER = b"T"
LISTED = b"L"
IN_STATUS = b"S"
UPDATED = b"U"
COUNTED = b"N"

_END = b"\x00\x01"
_BEHIND = b"\x00\x02"
TIME_BYTES = 8
"""How many bytes of a key a time is."""

_TIME_MAX = (1 << 8 * TIME_BYTES) - 1

STATUSES: tuple[StatusName, ...] = get_args(StatusName)
"""A status is written as its number among these, from 1."""

_IN_STATUS: dict[str, bytes] = {
    name: IN_STATUS + bytes((number,)) for number, name in enumerate(STATUSES, 1)
}
_UPDATED: dict[str, bytes] = {
    name: UPDATED + bytes((number,)) for number, name in enumerate(STATUSES, 1)
}


def of_instance(instance_id: str) -> bytes:
    """The part of a key that names the instance."""
    return instance_id.encode().replace(b"\x00", b"\x00\xff") + _END


def behind(instance: bytes) -> bytes:
    """A key that sorts between the last key of an instance and the next instance."""
    return instance[: -len(_END)] + _BEHIND


def instance_part(key: bytes) -> bytes:
    """The beginning of a row's key up to the end of its instance."""
    return key[: key.index(_END, 1) + len(_END)]


def next_instance(key: bytes) -> bytes:
    """From where to look for the next instance, behind a row's key."""
    return behind(instance_part(key))


def timer(due_at: int, instance: bytes, chain: str) -> bytes:
    """The key of a timer; its time is in epoch milliseconds, at least 0."""
    return TIMER + time_of(due_at) + instance + chain.encode()


def listed(started_at: int, instance: bytes) -> bytes:
    """The key of an instance's entry; it was started at an epoch millisecond."""
    return LISTED + time_of(started_at) + instance


def instance_of_entry(key: bytes) -> bytes:
    """The part of an entry's key that names the instance."""
    return key[1 + TIME_BYTES :]


def index_of(by: TimeName, status: str) -> bytes:
    """How the keys begin by which instances in a status are in the order of a time."""
    return (_IN_STATUS if by == "started" else _UPDATED)[status]


def in_status(entry: ListEntry, instance: bytes) -> bytes:
    """The key by which an instance is found in its status, by its start."""
    return _IN_STATUS[entry.status] + time_of(entry.started_at) + instance


def updated(entry: ListEntry, instance: bytes) -> bytes:
    """The key by which it is found in its status, by the time of its last event."""
    return _UPDATED[entry.status] + time_of(entry.updated_at) + instance


def behind_status(key: bytes) -> bytes:
    """Time and instance of a key that has a status in front of them."""
    return key[2:]


def time_of(at_ms: int) -> bytes:
    """The bytes of a time in epoch milliseconds; they sort as the times do."""
    return min(max(at_ms, 0), _TIME_MAX).to_bytes(TIME_BYTES, "big")


def split(key: bytes, start: int = 1) -> tuple[str, str]:
    """Instance id and remainder of a key whose instance part begins at `start`.

    Raises:
        StoreError: if it is no such key.
    """
    end = key.find(_END, start)
    if end < 0:
        raise StoreError(
            f"expected a key with an instance, but the store has {excerpt_of(key)}"
        )
    try:
        return (
            key[start:end].replace(b"\x00\xff", b"\x00").decode(),
            key[end + len(_END) :].decode(),
        )
    except UnicodeDecodeError as error:
        raise StoreError(
            f"expected a key in UTF-8, but the store has {excerpt_of(key)}"
        ) from error


def split_timer(key: bytes) -> tuple[int, str, str]:
    """Time, instance id and chain of a timer's key.

    Raises:
        StoreError: if it is no such key.
    """
    start = 1 + TIME_BYTES
    return int.from_bytes(key[1:start], "big"), *split(key, start)


def upper_bound(prefix: bytes) -> bytes:
    """The first key behind all that begin with `prefix`, whose last byte is not FF."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))
