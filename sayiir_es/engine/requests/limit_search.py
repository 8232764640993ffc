"""Finds the limits of a partition in its store, in the order of their keys."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.core.model.permit_events import LIMIT_PREFIX, is_limit, limit_id
from sayiir_es.core.status.limit_report import limit_report

if TYPE_CHECKING:
    from sayiir_es.core.status.limit_report import LimitReport
    from sayiir_es.engine.store.port import SnapshotStore

TURN = 200
"""Limits looked at before other tasks of the loop may run: some milliseconds."""

PAGE_MAX = 200
"""The longest page: each limit names up to 200 attempts."""


def find_limit(store: SnapshotStore, key: str) -> LimitReport | None:
    """The limit of a key; None where nobody has asked it, or set it."""
    instance_id = limit_id(key)
    return limit_report(store.rows(instance_id), instance_id)


async def find_limits(
    store: SnapshotStore, after: str, count: int
) -> tuple[tuple[LimitReport, ...], bool]:
    """Limits with keys behind `after`, and whether there are no more.

    Those with permits in use, or somebody who waits, or that were set.
    """
    count = max(1, min(count, PAGE_MAX))
    found: list[LimitReport] = []
    for number, instance_id in enumerate(store.with_permits(), 1):
        if number % TURN == 0:
            await asyncio.sleep(0)
        if not is_limit(instance_id):
            if instance_id > LIMIT_PREFIX:
                break  # in order of ids
            continue
        if instance_id.removeprefix(LIMIT_PREFIX) <= after:
            continue
        if len(found) == count:
            return tuple(found), False
        report = limit_report(store.rows(instance_id), instance_id)
        if report is not None:
            found.append(report)
    return tuple(found), True
