"""The status of an instance as the owner of its partition tells it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from sayiir_es.core.decide.permits import key_of
from sayiir_es.core.graph.key_templates import UnreadableKeyError
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.instants import instant
from sayiir_es.core.model.permit_events import limit_id
from sayiir_es.core.model.rows import get_cursors, get_run
from sayiir_es.core.model.run_permit_events import queue_id
from sayiir_es.core.model.run_permit_rows import get_run_permit
from sayiir_es.core.model.waits import Awaiting, AwaitingRunPermit
from sayiir_es.core.nodes import run_permit, task
from sayiir_es.core.status.status import ENDED, status_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.model.rows import Rows
    from sayiir_es.core.status.limit_report import LimitReport
    from sayiir_es.core.status.status import Status
    from sayiir_es.engine.attempts.attempt import Token
    from sayiir_es.engine.definitions.code import Code
    from sayiir_es.engine.definitions.registry import Registry


class AttemptQueue(Protocol):
    """The attempts of an owner that wait for a slot."""

    def find_taken(self, token: Token) -> str:
        """Whose slots are all taken, in words; empty where it does not wait."""
        ...


OBSTACLE = "; the worker that owns partition "
"""How a sentence goes on that says what an owner lacks."""


def describe(
    rows: Rows,
    instance_id: str,
    registry: Registry,
    *,
    partition: int,
    code: Code | None,
    queue: AttemptQueue | None = None,
) -> Status | None:
    """The status of an instance, or None where there is no run of that id.

    `code` is that of the owner, None where it is not known: `waiting_for` says what it
    lacks for an attempt. `queue` knows which attempts wait for a slot.
    """
    run = get_run(rows)
    if run is None:
        return None
    graph = registry.by_digest(run.graph_digest)
    status = status_of(rows, instance_id, graph)
    if status is None or status.status in ENDED:
        return status
    if graph is None or code is None or not status.attempts:
        return status
    lack = code.find_lack(rows, graph, status.attempts)
    if lack is not None:
        path, obstacle = lack.path, f"{OBSTACLE}{partition} {lack}"
    else:
        path, obstacle = _find_taken(status, queue)
    if not obstacle:
        return status
    since = f", due since {_due_since(rows, path)}"
    return replace(status, waiting_for=f"{status.waiting_for}{since}{obstacle}")


def _find_taken(status: Status, queue: AttemptQueue | None) -> tuple[str, str]:
    """The path of the first attempt that waits for a slot, and for which."""
    if queue is not None:
        for path, number in status.attempts.items():
            taken = queue.find_taken((status.instance_id, status.run, path, number))
            if taken:
                return path, f"; all slots of {taken} are taken"
    return "", ""


def _due_since(rows: Rows, path: str) -> str:
    wait = task.awaiting(rows, path)
    return "-" if wait is None else instant(max(wait.since, wait.not_before))


def with_limit(
    status: Status | None,
    rows: Rows,
    registry: Registry,
    find_limit: Callable[[str], LimitReport | None],
) -> Status | None:
    """The status of an instance, with what it says of a permit that it waits for.

    The key is made, which reads the values that it names: so it is done for one
    instance, not for those of a list. `find_limit` is asked by its id how much of that
    limit, or start queue, is in use; where it is another partition's, what the task or
    the workflow says stays.
    """
    queue = get_run_permit(rows)
    if status is not None and isinstance(queue, AwaitingRunPermit):
        return _with_queue(status, queue, find_limit(queue_id(queue.key)))
    said = None if status is None else status.waiting_for
    run = get_run(rows)
    if status is None or run is None or said is None or task.PERMIT_WANTED not in said:
        return status
    graph = registry.by_digest(run.graph_digest)
    if graph is None:
        return status
    for _, cursor in get_cursors(rows):
        wait, place = cursor.wait, graph.place(cursor.path)
        node = None if place is None else place.node
        if not isinstance(wait, Awaiting) or not isinstance(node, TaskNode):
            continue
        begin = task.sentence(cursor, wait, node).partition(task.PERMIT_WANTED)[0]
        if wait.permit or node.concurrency is None or not said.startswith(begin):
            continue
        try:
            key = key_of(node.concurrency.key, run.workflow, rows, graph, cursor)
        except UnreadableKeyError:
            return status
        limit = find_limit(limit_id(key))
        of = task.said_of(node.concurrency) if limit is None else _in_use(limit)
        since = instant(max(wait.since, wait.not_before))
        return replace(
            status,
            waiting_for=f"{begin}{task.PERMIT_WANTED}{key!r} ({of}) since {since}",
        )
    return status


def _with_queue(
    status: Status, wait: AwaitingRunPermit, queue: LimitReport | None
) -> Status:
    said = run_permit.place_of(wait)
    if queue is None or not status.waiting_for.startswith(said):
        return status
    running = f"{queue.in_use} of {queue.max_running} run"
    sentence = f"{said} ({running}) since {instant(wait.since)}"
    return replace(status, waiting_for=sentence)


def _in_use(limit: LimitReport) -> str:
    most = "" if limit.max_concurrency is None else f" of {limit.max_concurrency}"
    rate = "" if limit.rate is None else f", {limit.rate}"
    return f"{limit.in_use}{most} in use{rate}"
