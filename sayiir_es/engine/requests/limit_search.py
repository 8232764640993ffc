"""Finds the limits of a partition in its store, in the order of their keys."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.core.status.limit_report import id_of_limit, limit_report

if TYPE_CHECKING:
    from sayiir_es.core.status.limit_report import LimitOf, LimitReport
    from sayiir_es.engine.store.port import SnapshotStore

TURN = 200
"""Limits looked at before other tasks of the loop may run: some milliseconds."""

PAGE_MAX = 200
"""The longest page: each limit names up to 200 attempts."""


def find_limit(store: SnapshotStore, instance_id: str) -> LimitReport | None:
    """The limit or start queue of an id; None where nobody has asked it, or set it."""
    return limit_report(store.rows(instance_id), instance_id)


async def find_limits(
    store: SnapshotStore, of: LimitOf, after: str, count: int
) -> tuple[tuple[LimitReport, ...], bool]:
    """Limits with keys behind `after`, and whether there are no more.

    Those with permits in use, or somebody who waits, or that were set.
    """
    count, prefix = max(1, min(count, PAGE_MAX)), id_of_limit("", of)
    found: list[LimitReport] = []
    for number, instance_id in enumerate(store.with_permits(), 1):
        if number % TURN == 0:
            await asyncio.sleep(0)
        if not instance_id.startswith(prefix):
            if instance_id > prefix:
                break  # in order of ids
            continue
        if instance_id.removeprefix(prefix) <= after:
            continue
        if len(found) == count:
            return tuple(found), False
        report = limit_report(store.rows(instance_id), instance_id)
        if report is not None:
            found.append(report)
    return tuple(found), True
