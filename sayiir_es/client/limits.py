"""The limits of an app, as coroutines over a session: found, looked at, and set.

Limits of attempts, and start queues, which count runs. Each lives in the partition of
its id; the owners tell those that they have. Where nobody answers, the client folds
that partition itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypedDict, get_args

from sayiir_es.client.commands import new_command_id
from sayiir_es.core.graph.key_templates import KEY_BYTES_MAX, LIMIT_MAX
from sayiir_es.core.graph.start_queue import LENGTH_MAX, QUEUE_KEY_BYTES_MAX
from sayiir_es.core.model.commands import SetLimit
from sayiir_es.core.model.rates import parse_rate
from sayiir_es.core.partitions import partition_of
from sayiir_es.core.status.limit_report import (
    LimitOf,
    LimitReport,
    id_of_limit,
    unused,
)
from sayiir_es.wire.limit_reports import FindLimits
from sayiir_es.wire.requests import FoundLimits

if TYPE_CHECKING:
    from sayiir_es.client.session import Session

PAGE_LIMITS = 100
"""How many limits a page has, unless it is said otherwise."""

PAGE_MAX = 200
"""How many it has at most: each names up to 200 attempts."""

_KINDS: tuple[LimitOf, ...] = get_args(LimitOf)
"""In the order in which they are listed, which is that of their ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitPage:
    """Some limits: those of attempts first, each kind in the order of their keys.

    `next_after` names the last one of the page, behind which the next page begins; None
    where there is none.
    """

    limits: tuple[LimitReport, ...]
    next_after: str | None


class LimitOptions(TypedDict, total=False):
    """What `set_limit` of a client takes; see `LimitNumbers`."""

    max_concurrency: int | None
    rate: str | None
    max_running: int | None
    queue_length: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitNumbers:
    """What is set of a limit: the first two of attempts, the others of a start queue.

    None is what the tasks say, or the workflow.
    """

    max_concurrency: int | None = None
    rate: str | None = None
    max_running: int | None = None
    queue_length: int | None = None

    def check(self, of: LimitOf) -> None:
        """Check that a limit of that kind can be set so.

        Raises:
            ValueError: if it cannot.
        """
        attempts = {"max_concurrency": self.max_concurrency, "rate": self.rate}
        runs = {"max_running": self.max_running, "queue_length": self.queue_length}
        other = runs if of == "attempts" else attempts
        if any(value is not None for value in other.values()):
            names, wanted = " and ".join(other), _KINDS[of == "attempts"]
            raise ValueError(f"expected {names} of a limit of {wanted}, but of {of}")
        for name, value, largest in (
            ("max_concurrency", self.max_concurrency, LIMIT_MAX),
            ("max_running", self.max_running, LIMIT_MAX),
            ("queue_length", self.queue_length, LENGTH_MAX),
        ):
            if value is not None and not 0 <= value <= largest:
                raise ValueError(
                    f"expected {name} between 0 and {largest}, but {value}"
                )
        if self.rate is not None:
            parse_rate(self.rate)


async def list_limits(
    session: Session, limit: int, after: str | None, of: LimitOf | None = None
) -> LimitPage:
    """A page of the limits that are in use, waited for, or set; of one kind, or both.

    Raises:
        ValueError: if `limit` is not 1 to 200, or `after` not of a page.
    """
    if not 1 <= limit <= PAGE_MAX:
        raise ValueError(f"expected a limit of 1 to {PAGE_MAX}, but {limit}")
    kinds = _KINDS if of is None else (of,)
    begins, behind = _read_place(after)
    await session.open()
    shown: list[LimitReport] = []
    for kind in kinds:
        if kind < begins:
            continue  # the page before has reached what comes behind
        room = limit - len(shown)
        found, is_last = await _page(
            session, kind, behind if kind == begins else "", max(room, 1)
        )
        shown += found[:room]
        if len(found) > room or not is_last:
            last = shown[-1]
            return LimitPage(
                limits=tuple(shown), next_after=id_of_limit(last.key, last.of)
            )
    return LimitPage(limits=tuple(shown), next_after=None)


def _read_place(after: str | None) -> tuple[LimitOf, str]:
    """Of which kind, and behind which key, a page begins."""
    if not after:
        return _KINDS[0], ""
    for kind in _KINDS:
        prefix = id_of_limit("", kind)
        if after.startswith(prefix):
            return kind, after.removeprefix(prefix)
    raise ValueError(f"expected `next_after` of a page, but {after!r}")


async def _page(
    session: Session, of: LimitOf, after: str, count: int
) -> tuple[list[LimitReport], bool]:
    """Limits of one kind in order, more than so many perhaps; whether these are all."""
    pages = await asyncio.gather(
        *(
            _find(session, partition, FindLimits(of=of, after=after, count=count))
            for partition in range(session.log.partitions)
        )
    )
    found = [one for page in pages for one in page.limits]
    found.sort(key=lambda one: one.key)
    return found, all(page.is_last for page in pages)


async def get_limit(session: Session, instance_id: str) -> LimitReport:
    """The limit of an id; one of which nothing is known has nothing in use."""
    await session.open()
    home = instance_id.encode("utf-8", "surrogatepass")
    partition, limit = partition_of(home, session.log.partitions), unused(instance_id)
    request = FindLimits(of=limit.of, key=limit.key, count=1)
    found = (await _find(session, partition, request)).limits
    return found[0] if found else limit


async def set_limit(session: Session, setting: SetLimit) -> LimitReport:
    """Set a limit, and return how it is behind that."""
    await session.execute(setting)
    return await get_limit(session, setting.instance_id)


def limit_setting(
    instance_id: str, numbers: LimitNumbers, reason: str | None, by: str | None
) -> SetLimit:
    """The command that sets a limit.

    Raises:
        ValueError: if it cannot be set so.
    """
    numbers.check(unused(instance_id).of)
    return SetLimit(
        instance_id=instance_id,
        command_id=new_command_id(),
        max_concurrency=numbers.max_concurrency,
        rate=numbers.rate,
        max_running=numbers.max_running,
        queue_length=numbers.queue_length,
        reason=reason,
        requested_by=by,
    )


def checked_id(key: str, of: LimitOf) -> str:
    """The id of the limit of a key.

    Raises:
        ValueError: if it is empty or too long.
    """
    if of not in _KINDS:
        raise ValueError(f"expected a limit of attempts or runs, but of {of!r}")
    size = len(key.encode("utf-8", "surrogatepass"))
    largest = QUEUE_KEY_BYTES_MAX if of == "runs" else KEY_BYTES_MAX
    if not 0 < size <= largest:
        raise ValueError(f"expected a key of 1 to {largest} bytes, but {size}")
    return id_of_limit(key, of)


async def _find(session: Session, partition: int, request: FindLimits) -> FoundLimits:
    answer = await session.ask(
        partition, lambda at_least: replace(request, at_least=at_least)
    )
    if isinstance(answer, FoundLimits):
        return answer

    from sayiir_es.client.projection import read_again  # noqa: PLC0415 (slow)

    async def fold() -> FoundLimits:
        from sayiir_es.engine.requests.limit_search import (  # noqa: PLC0415 (slow)
            find_limit,
            find_limits,
        )

        store, of = await session.read_store(partition), request.of
        if request.key:
            limit = find_limit(store, id_of_limit(request.key, of))
            return FoundLimits(limits=() if limit is None else (limit,), is_last=True)
        limits, is_last = await find_limits(store, of, request.after, request.count)
        return FoundLimits(limits=limits, is_last=is_last)

    return await read_again(fold)
