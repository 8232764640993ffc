"""Requests and replies as bytes: MessagePack maps, which every language reads.

A request is a record on the requests topic, on the partition of the instance that it
asks about, or of each partition for a search. Its headers say where the reply goes
(`wire.reply_address`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeAlias

import msgpack

from sayiir_es.core.fast_frozen import fast_frozen, maker
from sayiir_es.core.json_fields import Fields
from sayiir_es.core.model.errors import DecodeError
from sayiir_es.core.status.search import Search
from sayiir_es.wire.executor_requests import (
    OFFER,
    PROGRESS,
    ExecutorRequest,
    OfferSlots,
    Progress,
    executor_request_data,
    read_offer,
    read_progress,
)
from sayiir_es.wire.limit_reports import (
    FindLimits,
    limits_data,
    read_find_limits,
    read_limits,
)
from sayiir_es.wire.partition_reports import (
    PartitionReport,
    read_report,
    report_data,
)
from sayiir_es.wire.searches import (
    Groups,
    is_new,
    read_groups,
    read_search,
    search_data,
)
from sayiir_es.wire.status_data import read_status, status_data, to_status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sayiir_es.core.status.limit_report import LimitReport
    from sayiir_es.core.status.status import Status

_msgpack: Any = msgpack  # ships no hints
_packb: Callable[..., bytes] = _msgpack.packb
_unpackb: Callable[..., Any] = _msgpack.unpackb

REQUEST_BYTES_MAX = 64 * 1024
"""The longest request that is read."""

# --- requests -------------------------------------------------------------------------


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Describe:
    """Asks for the status of an instance."""

    instance_id: str
    at_least: int = 0
    """The offset of `events` up to which the answer must be folded at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindResult:
    """Asks for the result of the first node of an id in graph order."""

    instance_id: str
    task_id: str
    at_least: int = 0


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Asks for the status of an instance when it has ended, or awaits no outcome."""

    instance_id: str
    parked: bool = False
    at_least: int = 0


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class FindDecision:
    """Asks what became of the command at an offset of `commands`.

    An accepted one is known to the owner by its `command_id`, without a look at the
    log: who only waits for the end of its instance sends it along.
    """

    instance_id: str
    offset: int
    command_id: str = ""
    at_least: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ListInstances:
    """Asks for a page of the instances of a partition that match, the last first.

    `before` is the (time, instance id) behind which the page begins. With `within_ms`
    it may end early: when it was looked for so long.
    """

    search: Search
    limit: int
    before: tuple[int, str] | None = None
    within_ms: int | None = None
    at_least: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CountInstances:
    """Asks how many instances of a partition match, by group."""

    search: Search
    by: Groups = "all"
    at_least: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribePartition:
    """Asks the owner of a partition how far it is, and what its process does.

    With `counts` also how many instances it has by status: a look at all of them.
    """

    counts: bool = False
    at_least: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSearch:
    """Says that nobody waits for the search any more that has this reply address.

    There is no reply to it.
    """

    at_least: int = 0


Request: TypeAlias = (
    Describe
    | FindResult
    | Wait
    | FindDecision
    | ListInstances
    | CountInstances
    | DescribePartition
    | FindLimits
    | StopSearch
)

_REQUEST_NAMES: dict[type[Request], str] = {
    Describe: "describe",
    FindResult: "result",
    Wait: "wait",
    FindDecision: "decision",
    ListInstances: "list",
    CountInstances: "count",
    DescribePartition: "partition",
    FindLimits: "limits",
    StopSearch: "stop",
}

NEW = ".2"
"""Ends the name of a request that owners of older builds must refuse, for they would
pass over what they do not know of it."""

_REQUEST_FIELDS = {
    kind: tuple(item.name for item in fields(kind)) for kind in _REQUEST_NAMES
}


_OF_EXECUTORS: dict[str, Callable[[Fields], ExecutorRequest]] = {
    OFFER: read_offer,
    PROGRESS: read_progress,
}

_OF_NO_INSTANCE = (
    ListInstances,
    CountInstances,
    DescribePartition,
    FindLimits,
    StopSearch,
    OfferSlots,
    Progress,
)


def request_key(request: Request | ExecutorRequest) -> bytes | None:
    """The key of a request's record: the instance that it asks about, if it is one."""
    if isinstance(request, _OF_NO_INSTANCE):
        return None
    return request.instance_id.encode("utf-8", "surrogatepass")


def encode_request(request: Request | ExecutorRequest) -> bytes:
    """The value of a request's record."""
    if isinstance(request, OfferSlots | Progress):
        return _pack(executor_request_data(request))
    data: dict[str, object] = {"request": _name_of(request)}
    for name in _REQUEST_FIELDS[type(request)]:
        value = getattr(request, name)
        data[name] = search_data(value) if isinstance(value, Search) else value
    return _pack(data)


def _name_of(request: Request) -> str:
    """The name of a request: one that an older build does not know, if it must not."""
    name = _REQUEST_NAMES[type(request)]
    match request:
        case ListInstances() if is_new(request.search) or request.within_ms:
            return name + NEW
        case CountInstances() if is_new(request.search, request.by):
            return name + NEW
        case FindLimits(of="runs"):
            return name + NEW
        case _:
            return name


def decode_request(value: bytes) -> Request | ExecutorRequest:
    """Read a request.

    Raises:
        DecodeError: if it is none.
    """
    if len(value) > REQUEST_BYTES_MAX:
        raise DecodeError(
            f"expected a request of at most {REQUEST_BYTES_MAX} bytes, but {len(value)}"
        )
    data = Fields(_unpack(value, "a request"), "request")
    at_least = data.integer_or_none("at_least") or 0
    name = data.text("request")
    if name in _OF_EXECUTORS:
        return _OF_EXECUTORS[name](data)
    match name:
        case "describe":
            return Describe(instance_id=data.text("instance_id"), at_least=at_least)
        case "result":
            return FindResult(
                instance_id=data.text("instance_id"),
                task_id=data.text("task_id"),
                at_least=at_least,
            )
        case "wait":
            return Wait(
                instance_id=data.text("instance_id"),
                parked=data.data.get("parked") is True,
                at_least=at_least,
            )
        case "decision":
            return FindDecision(
                instance_id=data.text("instance_id"),
                offset=data.integer("offset"),
                command_id=data.text_or_none("command_id") or "",
                at_least=at_least,
            )
        case "list" | "list.2" | "count" | "count.2" | "limits" | "limits.2":
            return _read_search_of(data, name, at_least)
        case "partition":
            counts = data.data.get("counts") is True
            return DescribePartition(counts=counts, at_least=at_least)
        case "stop":
            return StopSearch(at_least=at_least)
        case _:
            names = ", ".join((*_REQUEST_NAMES.values(), OFFER, PROGRESS))
            raise DecodeError(f"expected a request of {names}, but {name!r:.100}")


def _read_search_of(
    data: Fields, name: str, at_least: int
) -> ListInstances | CountInstances | FindLimits:
    if name.startswith("limits"):
        return read_find_limits(data, at_least)
    if name.startswith("count"):
        return CountInstances(
            search=read_search(data), by=read_groups(data), at_least=at_least
        )
    return ListInstances(
        search=read_search(data),
        limit=data.integer("limit"),
        before=_read_before(data),
        within_ms=data.integer_or_none("within_ms"),
        at_least=at_least,
    )


def _read_before(request: Fields) -> tuple[int, str] | None:
    if request.data.get("before") is None:
        return None
    match request.items("before"):
        case [int(at_ms), str(instance_id)]:
            return at_ms, instance_id
        case before:
            raise request.wrong("before", "a time and an instance id", before)


# --- replies --------------------------------------------------------------------------


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """The status of an instance, as the owner has it; None where there is none."""

    status: Status | None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The status of an instance that a client waited for; None where there is none."""

    status: Status | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundResult:
    """The result of a node: its bytes, or None where it has none yet."""

    exists: bool
    result: bytes | None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The decision on a command: its first event, and the status behind it.

    `event` is the kind, at `offset` of the partition's events. `code` and `message` say
    why, if that is `CommandRejected`, and `code` what, if it is `CommandAcknowledged`.
    """

    event: str
    offset: int
    sequence: int = 0
    command: str = ""
    code: str = ""
    message: str = ""
    status: Status | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A page of the instances of a partition, the last first, each with its time.

    `is_last` says that nothing stands behind it; `reached` up to which (time, instance
    id) it was looked, if time was up.
    """

    statuses: tuple[tuple[int, Status], ...]
    is_last: bool
    reached: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How many instances of a partition match, by group."""

    counts: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedPartition:
    """A partition, and the process of its owner."""

    report: PartitionReport


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLimits:
    """Limits of a partition, in order of their keys; whether there are no more."""

    limits: tuple[LimitReport, ...]
    is_last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The request was read and cannot be answered; `code` is that of an error."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """The partition has a new owner: whoever waits for a reply from it asks again."""


Answer: TypeAlias = (
    Described
    | Ended
    | FoundResult
    | Decided
    | Listed
    | Counted
    | DescribedPartition
    | FoundLimits
    | Refused
    | Claimed
)

_ANSWER_NAMES: dict[type[Answer], str] = {
    Described: "described",
    Ended: "ended",
    FoundResult: "result",
    Decided: "decided",
    Listed: "listed",
    Counted: "counted",
    DescribedPartition: "partition",
    FoundLimits: "limits",
    Refused: "refused",
    Claimed: "claimed",
}
_ANSWERS: dict[str, type[Answer]] = {name: kind for kind, name in _ANSWER_NAMES.items()}


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer, with the number of the call and the place on which it stands.

    `offset` is that of `events` up to which the partition was folded.
    """

    call: int
    partition: int
    offset: int
    answer: Answer


_new_reply = maker(Reply)


def encode_reply(reply: Reply) -> bytes:
    """The value of a reply's record."""
    answer = reply.answer
    data: dict[str, object] = {
        "reply": _ANSWER_NAMES[type(answer)],
        "call": reply.call,
        "partition": reply.partition,
        "offset": reply.offset,
    }
    match answer:
        case Described() | Ended():
            data["status"] = status_data(answer.status)
        case Decided():
            data |= {
                "event": answer.event,
                "at": answer.offset,
                "sequence": answer.sequence,
            }
            if answer.code:
                data |= {
                    "command": answer.command,
                    "code": answer.code,
                    "message": answer.message,
                }
            data["status"] = status_data(answer.status)
        case FoundResult():
            data |= {"exists": answer.exists, "result": answer.result}
        case Listed():
            data |= _listed_data(answer)
        case Counted() | DescribedPartition() | FoundLimits():
            data |= _partition_data(answer)
        case Refused():
            data |= {"code": answer.code, "message": answer.message}
        case Claimed():
            pass
    return _pack(data)


_UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What fields raise that are not of their type; of an infinite number, too."""


def decode_reply(value: bytes) -> Reply:
    """Read a reply.

    Raises:
        DecodeError: if it is none.
    """
    data = _unpack(value, "a reply")
    numbers = Fields(data, "reply")
    try:
        return _new_reply(
            call=numbers.integer("call"),
            partition=numbers.integer("partition"),
            offset=numbers.integer("offset"),
            answer=_read_answer(data),
        )
    except _UNREADABLE as error:
        raise DecodeError(f"expected a reply, but {error!r}") from error


def _read_answer(data: dict[str, Any]) -> Answer:
    match _ANSWERS[data["reply"]]:
        case kind if kind is Described:
            return Described(status=read_status(data["status"]))
        case kind if kind is Ended:
            return Ended(status=read_status(data["status"]))
        case kind if kind is Decided:
            return Decided(
                event=data["event"],
                offset=data["at"],
                sequence=data["sequence"],
                command=data.get("command", ""),
                code=data.get("code", ""),
                message=data.get("message", ""),
                status=read_status(data["status"]),
            )
        case kind if kind is FoundResult:
            return FoundResult(exists=data["exists"], result=data["result"])
        case kind if kind is Listed:
            instances = data["instances"]
            return Listed(
                statuses=tuple(
                    (one["at"], to_status(one["status"])) for one in instances
                ),
                is_last=data["is_last"],
                reached=_read_reached(data.get("reached")),
            )
        case kind if kind is Counted:
            return Counted(counts=data["counts"])
        case kind if kind is DescribedPartition:
            return DescribedPartition(report=read_report(data["report"]))
        case kind if kind is FoundLimits:
            return FoundLimits(
                limits=read_limits(data["limits"]), is_last=data["is_last"]
            )
        case kind if kind is Refused:
            return Refused(code=data["code"], message=data["message"])
        case _:
            return Claimed()


def _partition_data(
    answer: Counted | DescribedPartition | FoundLimits,
) -> dict[str, object]:
    match answer:
        case Counted():
            return {"counts": dict(answer.counts)}
        case DescribedPartition():
            return {"report": report_data(answer.report)}
        case FoundLimits():
            return {"limits": limits_data(answer.limits), "is_last": answer.is_last}


def _listed_data(answer: Listed) -> dict[str, object]:
    data: dict[str, object] = {"is_last": answer.is_last}
    if answer.reached is not None:
        data["reached"] = answer.reached
    data["instances"] = [
        {"at": at_ms, "status": status_data(status)}
        for at_ms, status in answer.statuses
    ]
    return data


def _read_reached(place: Any) -> tuple[int, str] | None:
    if place is None:
        return None
    at_ms, instance_id = place
    return int(at_ms), str(instance_id)


def _pack(data: Mapping[str, object]) -> bytes:
    return _packb(data, default=dict, unicode_errors="surrogatepass")


def _unpack(value: bytes, what: str) -> Any:
    try:
        return _unpackb(value, unicode_errors="surrogatepass")
    except (ValueError, RecursionError) as error:  # every error of msgpack is one
        # Not its `repr`: that has all that was read.
        reason = f"{type(error).__name__}: {error!s:.200}"
        raise DecodeError(f"expected {what} as MessagePack, but {reason}") from error
