"""Replay a history against the workflow of today: a gate to put before a deploy.

Theory of operation. The history is folded by this build. Then the checker's rules are
asked whether its events are those of today's graph: each run of that workflow is
checked as if it had been started with it. The first event that today's graph would not
allow is the difference; what a running instance does next may follow from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sayiir_es.audit.history import history
from sayiir_es.audit.rules.graph_model import GraphModel
from sayiir_es.audit.rules.instance import InstanceRules
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.model.events import WorkflowMigrated, WorkflowStarted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sayiir_es.audit.history import History
    from sayiir_es.client.backends import Backend
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.events import Event
    from sayiir_es.engine.valid_events import FoundEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first event that today's graph does not allow, and what it would."""

    found: FoundEvent
    expected: str
    seen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The result of a replay.

    Attributes:
        events: How many events were folded.
        compared: The workflows of today that the history was compared with, by name.
        changed: Those of them whose definition hash is not that of every run.
        difference: The first event that today's graphs do not allow; None: equal.
    """

    events: int
    compared: tuple[str, ...]
    changed: tuple[str, ...]
    difference: Difference | None


def replay(
    backend: Backend | str, instance_id: str, workflows: Sequence[Workflow] = ()
) -> Replay:
    """Fold an instance's history, and hold it to the workflows of today.

    Of `workflows`, those count of whose name the instance has a run.

    Raises:
        NotFoundError: if there is no event of it.
        HistoryError: if its history cannot be folded by this build.
        ValueError: if workflows are given, and none has the name of a run.
        LogUnavailableError: if nothing answers.
    """
    return replay_history(
        history(backend, instance_id), [one.graph for one in workflows]
    )


def replay_history(history: History, graphs: Sequence[Graph]) -> Replay:
    """As `replay`, of a history that was read; raises as it."""
    history.rows()
    runs = _runs_of(history)
    titles = {title for title, _ in runs}
    known = {_title(graph.name, graph.version): graph for graph in graphs}
    compared = {title: graph for title, graph in known.items() if title in titles}
    if graphs and not compared:
        available = sorted({_title(graph.name, graph.version) for graph in graphs})
        raise ValueError(
            f"expected a workflow of {sorted(titles)}, as {history.instance_id!r} has "
            f"run, but {available}"
        )
    differences = [first_difference(history, graph) for graph in compared.values()]
    return Replay(
        events=len(history.events),
        compared=tuple(sorted(graph.name for graph in compared.values())),
        changed=tuple(
            sorted(
                graph.name
                for title, graph in compared.items()
                if {hash_ for run, hash_ in runs if run == title}
                != {graph.definition_hash}
            )
        ),
        difference=min(
            (one for one in differences if one is not None),
            key=lambda one: one.found.offset,
            default=None,
        ),
    )


def _runs_of(history: History) -> set[tuple[str, str]]:
    """Title and definition hash of each workflow that the instance went on with."""
    runs: set[tuple[str, str]] = set()
    workflow = ""
    for entry in history.events:
        body = entry.event.body
        if isinstance(body, WorkflowStarted):
            workflow = body.workflow
        if isinstance(body, WorkflowStarted | WorkflowMigrated):
            runs.add((_title(workflow, body.version), body.definition_hash))
    return runs


def _title(workflow: str, version: str | None) -> str:
    return workflow if version is None else f"{workflow} version {version}"


def first_difference(history: History, graph: Graph) -> Difference | None:
    """The first event that a graph does not allow; None if it allows them all.

    Only runs of the workflow of that name are compared. The history is folded first.

    Raises:
        HoleInHistoryError: if an event of the instance is missing.
    """
    history.rows()
    models = {digest: GraphModel(one) for digest, one in history.graphs.items()}
    models[graph.digest] = GraphModel(graph)
    rules, cause = InstanceRules(models), None
    for number, entry in enumerate(history.events):
        event = entry.event
        if not _migrates_later(history, number):
            event = _as_if_begun_with(event, graph, models)
        try:
            rules.check(event, begins=event.cause != cause)
        except BreachError as breach:
            return Difference(found=entry, expected=breach.expected, seen=breach.seen)
        cause = event.cause
    return None


def _migrates_later(history: History, number: int) -> bool:
    """Whether the run goes on with yet another graph behind its event of a number."""
    for entry in history.events[number + 1 :]:
        if isinstance(entry.event.body, WorkflowStarted):
            return False
        if isinstance(entry.event.body, WorkflowMigrated):
            return True
    return False


def _as_if_begun_with(
    event: Event, graph: Graph, models: Mapping[str, GraphModel]
) -> Event:
    """The start of a run, or its last migration, with that graph for its own."""
    body = event.body
    if not isinstance(body, WorkflowStarted | WorkflowMigrated):
        return event
    began = models.get(body.graph_digest)
    name = body.workflow if isinstance(body, WorkflowStarted) else None
    if began is not None:
        name = began.workflow
    if name != graph.name or (began and began.version != graph.version):
        return event
    body = replace(
        body,
        definition_hash=graph.definition_hash,
        graph_digest=graph.digest,
        version=graph.version,
    )
    return replace(event, body=body)
