"""What a limit is told as: how many permits are in use, who has them, and who waits."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.model.permit_events import LIMIT_PREFIX
from sayiir_es.core.model.permit_rows import (
    get_all_granted,
    get_grant_timer,
    get_limit,
    get_queued,
    get_setting,
    most_in_use,
    rate_in_force,
)

if TYPE_CHECKING:
    from sayiir_es.core.model.rows import Ask, Rows

HOLDERS_MAX = 100
"""How many attempts a report names that have a permit, and how many that wait."""

LOOKED_AT_MAX = 1_000
"""Of a limit with more permits in use, the longest may not be among those named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitedAttempt:
    """An attempt that has a permit, or waits for one.

    `since` is when it was granted, or queued, in epoch milliseconds; `permit` is the
    number of the permit, 0 while it waits.
    """

    instance_id: str
    path: str
    since: int
    permit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitReport:
    """A limit as the owner of its partition has it; times are epoch milliseconds.

    Attributes:
        key: The key that its attempts share.
        in_use: How many permits are in use.
        queued: How many attempts wait at the limit. More may wait at their own
            partitions, which ask for no more than the limit could grant.
        max_concurrency: How many may be in use: what was set, else what the task says
            whose attempt asked last, of those that are known; None: any number.
        rate: The rate in force, such as `10/s`; None: any.
        is_set: Whether somebody set it, in place of what tasks say.
        set_max_concurrency: What was set; None where the tasks say.
        set_rate: The same of the rate.
        set_at: When it was set.
        reason: Why it was set, if that was said.
        set_by: By whom, if that was said.
        grants_at: When the next is granted, if that waits for nothing but time.
        holders: Who has a permit, the longest first; at most 100.
        waiting: Who waits, the next first; at most 100.
    """

    key: str
    in_use: int
    queued: int
    max_concurrency: int | None = None
    rate: str | None = None
    is_set: bool = False
    set_max_concurrency: int | None = None
    set_rate: str | None = None
    set_at: int | None = None
    reason: str | None = None
    set_by: str | None = None
    grants_at: int | None = None
    holders: tuple[LimitedAttempt, ...] = ()
    waiting: tuple[LimitedAttempt, ...] = ()


def limit_report(rows: Rows, instance_id: str) -> LimitReport | None:
    """The report of the limit with those rows; None where nobody asked or set it."""
    if rows.get("h") is None:
        return None
    state, setting = get_limit(rows), get_setting(rows)
    some = itertools.islice(get_all_granted(rows), LOOKED_AT_MAX)
    granted = sorted(some, key=lambda one: one[0])
    numbers = range(state.head, min(state.tail, state.head + HOLDERS_MAX))
    queued = [ask for number in numbers if (ask := get_queued(rows, number))]
    last = get_queued(rows, state.tail - 1) if queued else None
    if last is None and granted:
        last = granted[-1][1]
    most = None if setting is None else setting.max_concurrency
    return LimitReport(
        key=instance_id.removeprefix(LIMIT_PREFIX),
        in_use=state.in_use,
        queued=state.tail - state.head,
        max_concurrency=most if last is None else most_in_use(last, setting),
        rate=rate_in_force(state, setting),
        is_set=setting is not None,
        set_max_concurrency=most,
        set_rate=None if setting is None else setting.rate,
        set_at=None if setting is None else setting.at,
        reason=None if setting is None else setting.reason,
        set_by=None if setting is None else setting.requested_by,
        grants_at=get_grant_timer(rows),
        holders=tuple(_attempt(ask, permit) for permit, ask in granted[:HOLDERS_MAX]),
        waiting=tuple(_attempt(ask, 0) for ask in queued),
    )


def _attempt(ask: Ask, permit: int) -> LimitedAttempt:
    return LimitedAttempt(
        instance_id=ask.holder, path=ask.path, since=ask.at, permit=permit
    )
