"""The limits of an app, as coroutines over a session: found, looked at, and set.

Each limit lives in the partition of its id; the owners tell those that they have. Where
nobody answers, the client folds that partition itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.client.commands import new_command_id
from sayiir_es.core.graph.key_templates import KEY_BYTES_MAX, LIMIT_MAX
from sayiir_es.core.model.commands import SetLimit
from sayiir_es.core.model.permit_events import limit_id
from sayiir_es.core.model.rates import parse_rate
from sayiir_es.core.partitions import partition_of
from sayiir_es.core.status.limit_report import LimitReport
from sayiir_es.wire.requests import FindLimits, FoundLimits

if TYPE_CHECKING:
    from sayiir_es.client.session import Session

PAGE_LIMITS = 100
"""How many limits a page has, unless it is said otherwise."""

PAGE_MAX = 200
"""How many it has at most: each names up to 200 attempts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitPage:
    """Some limits, in the order of their keys.

    `next_after` is the key behind which the next page begins; None where there is none.
    """

    limits: tuple[LimitReport, ...]
    next_after: str | None


async def list_limits(session: Session, limit: int, after: str | None) -> LimitPage:
    """A page of the limits that are in use, waited for, or set.

    Raises:
        ValueError: if `limit` is not 1 to 200.
    """
    if not 1 <= limit <= PAGE_MAX:
        raise ValueError(f"expected a limit of 1 to {PAGE_MAX}, but {limit}")
    await session.open()
    pages = await asyncio.gather(
        *(
            _find(session, partition, "", after or "", limit)
            for partition in range(session.log.partitions)
        )
    )
    found = sorted(
        (one for page in pages for one in page.limits), key=lambda one: one.key
    )
    has_more = len(found) > limit or not all(page.is_last for page in pages)
    shown = tuple(found[:limit])
    return LimitPage(limits=shown, next_after=shown[-1].key if has_more else None)


async def get_limit(session: Session, key: str) -> LimitReport:
    """The limit of a key; one of which nothing is known has nothing in use.

    Raises:
        ValueError: if it is no key.
    """
    checked_key(key)
    await session.open()
    home = limit_id(key).encode("utf-8", "surrogatepass")
    partition = partition_of(home, session.log.partitions)
    found = (await _find(session, partition, key, "", 1)).limits
    return found[0] if found else LimitReport(key=key, in_use=0, queued=0)


async def set_limit(session: Session, setting: SetLimit) -> LimitReport:
    """Set a limit, and return how it is behind that."""
    await session.execute(setting)
    return await get_limit(session, setting.instance_id.removeprefix(limit_id("")))


def limit_setting(
    key: str,
    max_concurrency: int | None,
    rate: str | None,
    reason: str | None,
    by: str | None,
) -> SetLimit:
    """The command that sets a limit; None is what the tasks say.

    Raises:
        ValueError: if one of them is out of its range.
    """
    checked_key(key)
    if max_concurrency is not None and not 0 <= max_concurrency <= LIMIT_MAX:
        raise ValueError(
            f"expected max_concurrency between 0 and {LIMIT_MAX}, but {max_concurrency}"
        )
    if rate is not None:
        parse_rate(rate)
    return SetLimit(
        instance_id=limit_id(key),
        command_id=new_command_id(),
        max_concurrency=max_concurrency,
        rate=rate,
        reason=reason,
        requested_by=by,
    )


def checked_key(key: str) -> str:
    """The key of a limit.

    Raises:
        ValueError: if it is empty or too long.
    """
    size = len(key.encode("utf-8", "surrogatepass"))
    if not 0 < size <= KEY_BYTES_MAX:
        raise ValueError(f"expected a key of 1 to {KEY_BYTES_MAX} bytes, but {size}")
    return key


async def _find(
    session: Session, partition: int, key: str, after: str, count: int
) -> FoundLimits:
    answer = await session.ask(
        partition,
        lambda at_least: FindLimits(
            key=key, after=after, count=count, at_least=at_least
        ),
    )
    if isinstance(answer, FoundLimits):
        return answer

    from sayiir_es.client.projection import read_again  # noqa: PLC0415 (slow)

    async def fold() -> FoundLimits:
        from sayiir_es.engine.requests.limit_search import (  # noqa: PLC0415 (slow)
            find_limit,
            find_limits,
        )

        store = await session.read_store(partition)
        if key:
            limit = find_limit(store, key)
            return FoundLimits(limits=() if limit is None else (limit,), is_last=True)
        limits, is_last = await find_limits(store, after, count)
        return FoundLimits(limits=limits, is_last=is_last)

    return await read_again(fold)
