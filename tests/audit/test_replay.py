"""A history held to today's graph: the first difference, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sayiir_es import (
    Flow,
    RetryPolicy,
    resume_workflow,
    run_durable_workflow,
    send_signal,
    task,
)
from sayiir_es.audit import History, replay
from sayiir_es.audit.replay import first_difference, replay_history
from sayiir_es.client.backends import InMemoryBackend
from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.model.events import WorkflowMigrated, WorkflowStarted
from sayiir_es.engine.valid_events import FoundEvent
from tests.audit.instance_logs import events_of
from tests.audit.random_instances import random_instance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.client.backends import Backend
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.model.events import Event

INSTANCES = 60


@task
def reserve(number: int) -> int:
    return number + 1


@task
def bill(number: int) -> int:
    return number * 2


@task
def pack(number: int) -> int:
    return number


@task
def ship(both: dict[str, int]) -> int:
    return sum(both.values())


@task(retries=RetryPolicy(max_retries=1, initial_delay_secs=0.01))
def label(number: int) -> int:
    return number


def orders(*branches: str, wait: str = "ok", behind: bool = False) -> Workflow:
    """The workflow as it was, or as somebody changed it."""
    flow = Flow("orders").then(reserve).fork()
    for name in branches or ("bill", "pack"):
        flow = flow.branch({"bill": bill, "pack": pack, "label": label}[name])
    built = flow.join(ship).wait_for_signal(wait).then(label)
    return (built.then(pack, name="behind") if behind else built).build()


@pytest.fixture
def parked() -> Iterator[Backend]:
    """An instance of the old workflow that waits for its signal."""
    with InMemoryBackend() as backend:
        run_durable_workflow(orders(), "a", 1, backend=backend)
        yield backend


def test_the_same_workflow_is_equal(parked: Backend) -> None:
    result = replay(parked, "a", [orders(), Flow("other").then(bill).build()])
    assert (result.compared, result.changed, result.difference) == (
        ("orders",),
        (),
        None,
    )
    assert result.events > 10


def test_without_a_workflow_the_history_is_folded(parked: Backend) -> None:
    result = replay(parked, "a")
    assert (result.compared, result.difference) == ((), None)


def test_a_change_behind_what_has_happened_is_no_difference(parked: Backend) -> None:
    result = replay(parked, "a", [orders(behind=True)])
    assert (result.changed, result.difference) == (("orders",), None)


@pytest.mark.parametrize(
    ("today", "kind", "seen"),
    [
        (orders("bill", "label"), "ForkStarted", "ForkStarted of 'bill||pack'"),
        (orders(wait="yes"), "SignalAwaited", "SignalAwaited of 'ok'"),
        (Flow("orders").then(bill).build(), "PositionUpdated", "reserve"),
    ],
    ids=["branch", "signal", "first"],
)
def test_the_first_event_that_today_would_not_have_is_named(
    parked: Backend, today: Workflow, kind: str, seen: str
) -> None:
    result = replay(parked, "a", [today])
    assert result.changed == ("orders",)
    assert result.difference is not None
    assert result.difference.found.event.kind == kind
    assert seen in result.difference.seen
    assert result.difference.expected


def test_a_node_put_before_the_end_differs_at_the_end(parked: Backend) -> None:
    send_signal("a", "ok", 5, backend=parked)
    run_durable_workflow(
        orders(), "a", 1, conflict_policy="use_existing", backend=parked
    )
    resume_workflow(orders(), "a", backend=parked)
    assert replay(parked, "a", [orders()]).difference is None
    result = replay(parked, "a", [orders(behind=True)]).difference
    assert result is not None
    assert result.found.event.kind == "WorkflowCompleted"


def test_a_module_without_the_workflow_is_reported(parked: Backend) -> None:
    with pytest.raises(ValueError, match=r"workflow of \['orders'\].*but \['other'\]"):
        replay(parked, "a", [Flow("other").then(bill).build()])


def test_random_instances_are_equal_to_their_own_graph_and_differ_from_another() -> (
    None
):
    differing = equal = 0
    for seed in range(INSTANCES):
        instance = random_instance(seed)
        events = events_of(instance)
        original = History(
            instance_id="i",
            events=tuple(
                FoundEvent(partition=0, offset=offset, event=event)
                for offset, event in enumerate(events)
                if event.instance_id
            ),
            graphs={one.digest: one for one in (instance.graph, *instance.others)},
        )
        if graphs_of_runs(events) <= {instance.graph.digest}:
            equal += 1
            assert first_difference(original, instance.graph) is None, seed
        other = Graph(name=instance.graph.name, chain=instance.graph.chain[1:])
        if other.chain and any(
            one.event.kind == "WorkflowStarted" for one in original.events
        ):
            differing += replay_history(original, [other]).difference is not None
    assert differing > INSTANCES // 3
    assert equal > INSTANCES // 3


def graphs_of_runs(events: list[Event]) -> set[str]:
    """The digests of the graphs with which the runs went on to their ends."""
    graphs: list[str] = []
    for event in events:
        if isinstance(event.body, WorkflowMigrated):
            graphs.pop()
        if isinstance(event.body, WorkflowStarted | WorkflowMigrated):
            graphs.append(event.body.graph_digest)
    return set(graphs)
