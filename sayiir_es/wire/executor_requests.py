"""What executors tell owners by requests: offers of slots, and progress.

Nobody replies. An owner that missed one hears the next: an offer is repeated as long as
it stands, progress as long as an attempt runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sayiir_es.core.fast_frozen import fast_frozen
from sayiir_es.core.json_fields import Fields, is_list
from sayiir_es.core.model.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Mapping

OFFER = "offer"
PROGRESS = "progress"

DEFAULT_OFFER_TTL_MS = 30_000
"""How long an offer stands, if no later one comes."""

SLOTS_MAX = 100_000
"""How many slots an executor may name."""

DETAILS_BYTES_MAX = 4 * 1024
"""How many bytes the details of one attempt's progress may have."""

_INT_MAX = 2**31 - 1


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class OfferSlots:
    """How many more attempts an executor takes from the owner of a partition.

    A later offer of an executor takes the place of an earlier one on the partition.

    Attributes:
        executor: Its id; attempts for it have it as their key.
        free: How many more it takes from this owner now.
        slots: How many it runs at a time, whoever owns them.
        tags: It runs tasks whose tags are all among them.
        graphs: Digests of graphs of which it can run every task.
        tasks: `workflow/task_id` of tasks that it can run, of whatever graph.
        ttl_ms: How long the offer stands, in milliseconds.
        stopping: It ends: what it holds may still come, nothing new is to be given.
        only_foreign: It takes what the owner's process cannot run, and nothing else
            but `overflow`.
        overflow: How many more it takes of what the owner's process could run, but has
            had no slot for.
        overflow_processes: The same of what runs in a process of its own.
    """

    executor: str
    free: int
    slots: int
    tags: tuple[str, ...] = ()
    graphs: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    ttl_ms: int = DEFAULT_OFFER_TTL_MS
    stopping: bool = False
    only_foreign: bool = False
    overflow: int = 0
    overflow_processes: int = 0


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class HeldAttempt:
    """An attempt that an executor holds; `secret` in hex, as it was handed out.

    `details` is what its function told by `context.heartbeat` since the last progress,
    as bytes of the payload codec; None: nothing.
    """

    instance_id: str
    run: int
    path: str
    attempt: int
    secret: str
    details: bytes | None = None

    @property
    def token(self) -> tuple[str, int, str, int]:
        """What names the attempt: instance, run, path, number."""
        return (self.instance_id, self.run, self.path, self.attempt)


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The attempts of a partition that an executor still holds: renews their leases."""

    executor: str
    attempts: tuple[HeldAttempt, ...]


ExecutorRequest: TypeAlias = OfferSlots | Progress


def executor_request_data(request: ExecutorRequest) -> Mapping[str, object]:
    """What an executor tells, as plain data."""
    match request:
        case OfferSlots():
            return {
                "request": OFFER,
                "executor": request.executor,
                "free": request.free,
                "slots": request.slots,
                "tags": request.tags,
                "graphs": request.graphs,
                "tasks": request.tasks,
                "ttl_ms": request.ttl_ms,
                "stopping": request.stopping,
                "only_foreign": request.only_foreign,
                "overflow": request.overflow,
                "overflow_processes": request.overflow_processes,
            }
        case Progress():
            return {
                "request": PROGRESS,
                "executor": request.executor,
                "attempts": [
                    (
                        held.instance_id,
                        held.run,
                        held.path,
                        held.attempt,
                        held.secret,
                        held.details,
                    )
                    for held in request.attempts
                ],
            }


def read_offer(data: Fields) -> OfferSlots:
    """Read an offer.

    Raises:
        DecodeError: if it is none.
    """
    return OfferSlots(
        executor=_executor(data),
        free=data.integer("free", SLOTS_MAX),
        slots=data.integer("slots", SLOTS_MAX),
        tags=_texts(data, "tags"),
        graphs=_texts(data, "graphs"),
        tasks=_texts(data, "tasks"),
        ttl_ms=data.integer("ttl_ms", _INT_MAX),
        stopping=data.data.get("stopping") is True,
        only_foreign=data.data.get("only_foreign") is True,
        overflow=data.integer_or_none("overflow", SLOTS_MAX) or 0,
        overflow_processes=data.integer_or_none("overflow_processes", SLOTS_MAX) or 0,
    )


def read_progress(data: Fields) -> Progress:
    """Read a progress.

    Raises:
        DecodeError: if it is none.
    """
    return Progress(
        executor=_executor(data),
        attempts=tuple(map(_read_held, data.items("attempts"))),
    )


def _executor(data: Fields) -> str:
    executor = data.text("executor")
    if not executor:
        raise DecodeError("expected an executor's id, but it is empty")
    return executor


def _texts(data: Fields, name: str) -> tuple[str, ...]:
    return () if data.data.get(name) is None else data.texts(name)


_HELD = ("instance_id", "run", "path", "attempt", "secret", "details")


def _read_held(item: object) -> HeldAttempt:
    if not is_list(item) or len(item) != len(_HELD):
        names = ", ".join(_HELD)
        raise DecodeError(f"expected a list of {names} at request.attempts")
    held = Fields(dict(zip(_HELD, item, strict=True)), "request.attempts")
    details = held.data["details"]
    if details is not None and not isinstance(details, bytes):
        raise held.wrong("details", "bytes", details)
    if details is not None and len(details) > DETAILS_BYTES_MAX:
        raise DecodeError(
            f"expected details of at most {DETAILS_BYTES_MAX} bytes, but {len(details)}"
        )
    return HeldAttempt(
        instance_id=held.text("instance_id"),
        run=held.integer("run", _INT_MAX),
        path=held.text("path"),
        attempt=held.integer("attempt", _INT_MAX),
        secret=held.text("secret"),
        details=details,
    )
