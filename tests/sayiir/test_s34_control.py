"""S-34 to S-43: cancel, pause, and what they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sayiir_es import (
    BackendError,
    Flow,
    InMemoryBackend,
    LoopResult,
    WorkflowClient,
    cancel_workflow,
    pause_workflow,
    resume_workflow,
    run_durable_workflow,
    unpause_workflow,
)
from sayiir_es.core.model.events import WorkflowCancelled
from tests.sayiir.sample_tasks import add_one, boom, double, history, kinds, same

if TYPE_CHECKING:
    from sayiir_es import Workflow

PARKED = Flow("parked").then(add_one).wait_for_signal("go").then(double).build()
ASLEEP = Flow("asleep").then(add_one).delay("nap", 600).then(double).build()


def test_s34_a_cancel_during_the_last_task_cancels(
    backend: InMemoryBackend, client: WorkflowClient
) -> None:
    def last(value: int) -> int:
        cancel_workflow("last", backend, "changed my mind", "ana")
        return value + 1

    status = run_durable_workflow(Flow().then(last).build(), "last", 1, backend)
    assert status.is_cancelled()
    assert (status.reason, status.cancelled_by) == ("changed my mind", "ana")
    assert client.get_task_result("last", "last") == 2


def test_s35_a_cancel_wins_over_a_pause(backend: InMemoryBackend) -> None:
    def both(value: int) -> int:
        pause_workflow("both", backend)
        cancel_workflow("both", backend)
        return value

    flow = Flow().then(both).then(double).build()
    assert run_durable_workflow(flow, "both", 1, backend).is_cancelled()


def test_s36_a_cancel_ends_a_paused_instance_at_once(
    backend: InMemoryBackend, client: WorkflowClient
) -> None:
    run_durable_workflow(PARKED, "paused", 1, backend)
    client.pause("paused")
    client.cancel("paused", reason="no more")
    status = client.status("paused")
    assert (status.status, status.reason) == ("cancelled", "no more")


def test_s37_cancelling_or_pausing_twice_is_one(
    backend: InMemoryBackend, client: WorkflowClient
) -> None:
    run_durable_workflow(PARKED, "twice", 1, backend)
    client.pause("twice")
    client.pause("twice")
    client.cancel("twice")
    client.cancel("twice")
    with pytest.raises(BackendError, match="Cannot pause workflow in state: Cancelled"):
        client.pause("twice")
    event_kinds = kinds(backend, "twice")
    assert (
        event_kinds.count("WorkflowPaused"),
        event_kinds.count("WorkflowCancelled"),
    ) == (1, 1)


def test_s38_what_is_not_paused_cannot_be_unpaused(backend: InMemoryBackend) -> None:
    run_durable_workflow(PARKED, "parked", 1, backend)
    run_durable_workflow(Flow().then(same).build(), "done", 1, backend)
    for instance_id, state in (("parked", "InProgress"), ("done", "Completed")):
        text = (
            "Cannot pause workflow in state: Workflow is not paused "
            rf'\(current state: "{state}"\)'
        )
        with pytest.raises(BackendError, match=text):
            unpause_workflow(instance_id, backend)


@pytest.mark.parametrize("flow", [PARKED, ASLEEP])
def test_s39_parked_instances_hear_requests_at_once(
    flow: Workflow, backend: InMemoryBackend, client: WorkflowClient
) -> None:
    run_durable_workflow(flow, "parked", 1, backend)
    pause_workflow("parked", backend, "holiday", "ana")
    status = client.status("parked")
    assert (status.reason, status.paused_by) == ("holiday", "ana")
    assert resume_workflow(flow, "parked", backend).is_paused()
    unpause_workflow("parked", backend)
    cancel_workflow("parked", backend, "sold", "ana")
    assert client.status("parked").is_cancelled()


def test_s40_nothing_is_deleted_and_a_new_run_hears_no_old_request(
    backend: InMemoryBackend, client: WorkflowClient
) -> None:
    run_durable_workflow(PARKED, "again", 1, backend)
    client.pause("again")
    client.cancel("again")
    status = run_durable_workflow(PARKED, "again", 1, backend, "terminate_existing")
    assert (status.status, status.run) == ("awaiting_signal", 2)
    assert not hasattr(client, "delete")
    assert kinds(backend, "again").count("WorkflowStarted") == 2


def test_s41_a_cancel_names_the_node_that_it_interrupted(
    backend: InMemoryBackend,
) -> None:
    run_durable_workflow(PARKED, "parked", 1, backend)
    cancel_workflow("parked", backend)
    last = history(backend, "parked")[-1].body
    assert isinstance(last, WorkflowCancelled)
    assert list(last.interrupted_at) == ["go"]


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
def test_s42_results_stay_readable_whatever_the_end(
    end: str, backend: InMemoryBackend, client: WorkflowClient
) -> None:
    last = {"completed": double, "failed": boom, "cancelled": None}[end]
    flow = Flow().then(add_one)
    workflow = (flow.wait_for_signal("go") if last is None else flow.then(last)).build()
    run_durable_workflow(workflow, "ended", 1, backend)
    if end == "cancelled":
        client.cancel("ended")
    assert client.status("ended").status == end
    assert client.get_task_result("ended", "add_one") == 2


def test_s42_signals_routes_and_loops_have_results_too(
    backend: InMemoryBackend, client: WorkflowClient
) -> None:
    def twice(value: int) -> LoopResult[int]:
        return LoopResult.done(value) if value > 4 else LoopResult.again(value * 2)

    flow = Flow().wait_for_signal("go", name="wait").loop(twice)
    route = flow.route(lambda _: "a", keys=["a"]).branch("a", same).done()
    workflow = route.wait_for_signal("end").build()
    run_durable_workflow(workflow, "parts", 1, backend)
    names = ("wait", "loop_0", "branch_0", "end", "nobody")
    assert [client.get_task_result("parts", name) for name in names] == [None] * 5
    client.send_signal("parts", "go", 3)
    resume_workflow(workflow, "parts", backend)
    results = [client.get_task_result("parts", name) for name in names]
    assert results == [3, 6, {"branch": "a", "result": 6}, None, None]


def test_s43_the_first_of_two_cancels_is_the_one_that_counts(
    backend: InMemoryBackend, client: WorkflowClient
) -> None:
    run_durable_workflow(PARKED, "parked", 1, backend)
    client.cancel("parked", reason="first")
    client.cancel("parked", reason="second")
    assert client.status("parked").reason == "first"
