"""What a limit is told as: how many permits are in use, who has them, and who waits.

A start queue is told so, too: `of` says whether attempts are counted or runs. A key
alone names no limit, as a concurrency key may be any text, that of a start queue, too.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from sayiir_es.core.graph.paths import decode_segment
from sayiir_es.core.model import run_permit_rows
from sayiir_es.core.model.permit_events import LIMIT_PREFIX, limit_id
from sayiir_es.core.model.permit_rows import (
    get_all_granted,
    get_grant_timer,
    get_limit,
    get_queued,
    get_setting,
    most_in_use,
    rate_in_force,
)
from sayiir_es.core.model.run_permit_events import QUEUE_PREFIX, is_queue, queue_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.core.model.rows import Ask, Rows

LimitOf: TypeAlias = Literal["attempts", "runs"]
"""What a limit counts: attempts under a concurrency key, or runs of a start queue."""

HOLDERS_MAX = 100
"""How many attempts a report names that have a permit, and how many that wait."""

LOOKED_AT_MAX = 1_000
"""Of a limit with more permits in use, the longest may not be among those named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitedAttempt:
    """An attempt that has a permit, or waits for one; or a run, whose path is empty.

    `since` is when it was granted, or queued, in epoch milliseconds; `permit` is the
    number of the permit, 0 while it waits. Of a run it is the number of its ask.
    """

    instance_id: str
    path: str
    since: int
    permit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitReport:
    """A limit as the owner of its partition has it; times are epoch milliseconds.

    Attributes:
        key: The key that its attempts share; of a start queue the workflow's name,
            percent-encoded for `% / @ #`, and behind a `/` what `queue_key` makes.
        of: What is counted: `attempts`, or `runs` by a start queue.
        workflow: Whose runs are counted; None of a limit of attempts.
        in_use: How many permits are in use: how many attempts run, or runs go on.
        queued: How many wait. Of attempts more may wait at their own partitions, which
            ask for no more than the limit could grant.
        max_concurrency: How many may be in use: what was set, else what the task says
            whose attempt asked last, of those that are known; None: any number.
        rate: The rate in force, such as `10/s`; None: any.
        max_running: How many runs may go on: what was set, else what the workflow says
            whose run asked last; None: nobody has asked, or it counts attempts.
        queue_length: The same of how many others may wait; None: any number.
        is_set: Whether somebody set it, in place of what tasks or the workflow say.
        set_max_concurrency: What was set; None where the tasks say.
        set_rate: The same of the rate.
        set_max_running: What was set; None where the workflow says.
        set_queue_length: The same of the length.
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
    of: LimitOf = "attempts"
    workflow: str | None = None
    max_running: int | None = None
    queue_length: int | None = None
    set_max_running: int | None = None
    set_queue_length: int | None = None


def id_of_limit(key: str, of: LimitOf) -> str:
    """The id under which that limit is kept."""
    return queue_id(key) if of == "runs" else limit_id(key)


def unused(instance_id: str) -> LimitReport:
    """The report of a limit with that id that nobody has asked, or set."""
    if not is_queue(instance_id):
        key = instance_id.removeprefix(LIMIT_PREFIX)
        return LimitReport(key=key, in_use=0, queued=0)
    key = instance_id.removeprefix(QUEUE_PREFIX)
    workflow = _workflow_of(key)
    return LimitReport(key=key, of="runs", workflow=workflow, in_use=0, queued=0)


def limit_report(rows: Rows, instance_id: str) -> LimitReport | None:
    """The report of the limit with those rows; None where nobody asked or set it."""
    if rows.get("h") is None:
        return None
    if is_queue(instance_id):
        return _queue_report(rows, instance_id.removeprefix(QUEUE_PREFIX))
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


def _queue_report(rows: Rows, key: str) -> LimitReport:
    state = run_permit_rows.get_state(rows)
    setting = run_permit_rows.get_setting(rows)
    some = itertools.islice(run_permit_rows.get_all_granted(rows), LOOKED_AT_MAX)
    granted = [
        LimitedAttempt(instance_id=holder, path="", since=since, permit=ask)
        for holder, ask, since in some
    ]
    granted.sort(key=lambda one: (one.since, one.instance_id))
    most = run_permit_rows.most_in_use(state.limit, setting)
    is_known = state.limit > 0 or (
        setting is not None and setting.max_running is not None
    )
    return LimitReport(
        key=key,
        of="runs",
        workflow=_workflow_of(key),
        in_use=state.in_use,
        queued=state.waiting,
        max_running=most if is_known else None,
        queue_length=run_permit_rows.length_in_force(state.queue_length, setting),
        is_set=setting is not None,
        set_max_running=None if setting is None else setting.max_running,
        set_queue_length=None if setting is None else setting.queue_length,
        set_at=None if setting is None else setting.at,
        reason=None if setting is None else setting.reason,
        set_by=None if setting is None else setting.requested_by,
        holders=tuple(granted[:HOLDERS_MAX]),
        waiting=tuple(_waiting_runs(rows, state.first)),
    )


def _waiting_runs(rows: Rows, number: int) -> Iterator[LimitedAttempt]:
    for _ in range(HOLDERS_MAX):
        queued = run_permit_rows.get_queued(rows, number)
        if queued is None:
            return
        yield LimitedAttempt(instance_id=queued.holder, path="", since=queued.at)
        number = queued.after


def _workflow_of(key: str) -> str:
    return decode_segment(key.partition("/")[0])
