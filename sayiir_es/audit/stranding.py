"""What a deploy would strand: a gate to put before it.

Every instance that a search finds is looked at, as it stands on the log: each node that
it may still come to needs a node of the same kind at the same path in the workflows of
today, and what their functions name must be there, or come before. No code is run, and
no worker is asked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sayiir_es.client.backends import use_backend
from sayiir_es.client.search import search_of
from sayiir_es.core.graph.ahead import nodes_ahead
from sayiir_es.core.graph.nodes import RouteNode, TaskNode
from sayiir_es.core.graph.references import has_needed
from sayiir_es.core.graph.same_place import kind_of, same_place
from sayiir_es.core.model.errors import UnknownDefinitionError
from sayiir_es.core.model.rows import get_run
from sayiir_es.engine.clock import SystemClock
from sayiir_es.engine.requests.searching import in_turns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Unpack

    from sayiir_es.client.backends import Backend
    from sayiir_es.client.search import Criteria
    from sayiir_es.client.session import Session
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.rows import Rows
    from sayiir_es.core.status.search import Search

NOT_ENDED = ("in_progress", "waiting", "awaiting_signal", "paused")
"""What is looked at where no status is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StrandedNode:
    """A node whose code would be missing, and for how many instances.

    Attributes:
        workflow: Its name; `version` is None where it has none.
        path: Of the node, without iterations.
        reason: What is expected there, but not so.
        count: How many instances may come to it.
        example: The id of one of these, the last started.
    """

    workflow: str
    version: str | None
    path: str
    reason: str
    count: int
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StrandingReport:
    """What would be stranded; `instances` says how many were looked at."""

    instances: int
    nodes: tuple[StrandedNode, ...]


def find_stranded(
    backend: Backend | str,
    workflows: Sequence[Workflow],
    **criteria: Unpack[Criteria],
) -> StrandingReport:
    """What would wait for code if workers had these workflows, and no others.

    `find_stranded(url, [orders], workflow="orders")`; without a `status`, instances
    that have not ended.

    Raises:
        ValueError: if a criterion is none.
        LogUnavailableError: if nothing answers.
        UnknownDefinitionError: if the graph of an instance was never published.
    """
    search = search_of(criteria, now_ms=SystemClock().now_ms())
    with use_backend(backend) as opened_backend:
        return opened_backend.thread.call(
            read_stranded(opened_backend.session, workflows, search)
        )


async def read_stranded(
    session: Session, workflows: Sequence[Workflow], search: Search
) -> StrandingReport:
    """As `find_stranded`, in a session."""
    if not search.statuses:
        search = replace(search, statuses=NOT_ENDED)
    today = {(one.workflow_id, one.version): one.graph for one in workflows}
    digests = {one.graph.digest for one in workflows}
    found: dict[tuple[str, str, str, str], StrandedNode] = {}
    instances = 0
    await session.open()
    async for store in session.view.read_stores():
        async for entry in in_turns(store.entries()):
            if not search.matches(entry):
                continue
            instances += 1
            rows = store.rows(entry.instance_id)
            run = get_run(rows)
            if run is None or run.graph_digest in digests:
                continue
            graph = session.registry.by_digest(run.graph_digest)
            if graph is None:
                raise UnknownDefinitionError(
                    f"expected the graph {run.graph_digest[:16]}… of "
                    f"{entry.instance_id!r} on the definitions topic, but it is not "
                    "there"
                )
            other = today.get((run.workflow, run.version))
            for path, reason in _lacking(rows, graph, other):
                key = (run.workflow, run.version or "", path, reason)
                first = found.get(key)
                found[key] = StrandedNode(
                    workflow=run.workflow,
                    version=run.version,
                    path=path,
                    reason=reason,
                    count=1 if first is None else first.count + 1,
                    example=entry.instance_id if first is None else first.example,
                )
    nodes = tuple(found[key] for key in sorted(found))
    return StrandingReport(instances=instances, nodes=nodes)


def _lacking(
    rows: Rows, graph: Graph, today: Graph | None
) -> Iterator[tuple[str, str]]:
    """The paths that a run may come to and that have no code, and why."""
    ahead = nodes_ahead(rows, graph)
    for path, concrete in ahead.items():
        if not isinstance(graph.places[path].node, TaskNode | RouteNode):
            continue  # it has no code
        expected = kind_of(graph.places[path])
        if today is None:
            yield path, f"expected {expected}, but no such workflow"
            continue
        there = same_place(graph, path, today)
        if there is None:
            yield path, f"expected {expected}, but {kind_of(today.places.get(path))}"
            continue
        for need in there.node.needs if isinstance(there.node, TaskNode) else ():
            is_to_come = not need.path or need.path in ahead
            if not is_to_come and not has_needed(rows, graph, concrete, need):
                yield path, f"expected a value of {need.name!r}, but none"
                break
