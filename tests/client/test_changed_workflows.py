"""A deploy strands nothing: what runs goes on with today's code, or says what lacks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from sayiir_es import (
    CommandRefusedError,
    Flow,
    InMemoryBackend,
    LoopResult,
    RetryPolicy,
    Worker,
    WorkflowClient,
    WorkflowError,
    resume_workflow,
    run_durable_workflow,
    task,
)
from sayiir_es.client.backends import EmbeddedBackend
from tests.captured_logs import capture_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sayiir_es import Workflow
    from sayiir_es.client.backends import Backend


@pytest.fixture(params=["memory", "file"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    if request.param == "memory":
        yield InMemoryBackend()
        return
    with EmbeddedBackend(tmp_path / "log.db") as backend:
        yield backend


def saying(text: str) -> Callable[[object], str]:
    def say(value: object) -> str:
        del value
        return text

    return say


def parked(build: str, **metadata: object) -> Flow:
    """A workflow that waits for a signal before `pay` and `ship`."""
    flow = Flow("orders", metadata=metadata or None).wait_for_signal("go")
    return flow.then(saying(f"paid by {build}"), name="pay")


def park(backend: Backend, workflow: Workflow, instance_id: str = "i") -> None:
    """Start an instance on a worker with a workflow, which stops when it waits."""
    client = WorkflowClient(backend)
    with Worker("old", backend).start([workflow]):
        client.submit(workflow, instance_id, None)
        until(lambda: client.status(instance_id).status == "awaiting_signal")


def until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def go_on(backend: Backend, workflow: Workflow) -> object:
    """The output of the parked instance under a worker with another workflow."""
    client = WorkflowClient(backend)
    with Worker("new", backend).start([workflow]):
        client.send_signal("i", "go", None)
        status = client.wait("i", timeout="10s")
        assert status.status == "completed", status.error
        return status.output


CHANGES = {
    "metadata": parked("B", team="payments"),
    "node behind": parked("B").then(saying("shipped"), name="ship"),
    "retries": Flow("orders")
    .wait_for_signal("go")
    .then(task(retries=RetryPolicy(max_retries=3))(saying("paid by B")), name="pay"),
    "time-out": Flow("orders")
    .wait_for_signal("go")
    .then(task(timeout="9s")(saying("paid by B")), name="pay"),
    "priority and tags": Flow("orders")
    .wait_for_signal("go")
    .then(task(priority=1, tags=["gpu"])(saying("paid by B")), name="pay"),
    "node before": Flow("orders")
    .then(saying("checked"), name="check")
    .wait_for_signal("go")
    .then(saying("paid by B"), name="pay"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_runs_goes_on_with_its_graph_and_todays_code(
    backend: Backend, change: str
) -> None:
    park(backend, parked("A").build())
    assert go_on(backend, CHANGES[change].build()) == "paid by B"


def test_the_retries_of_a_run_are_those_that_it_began_with(backend: Backend) -> None:
    @task(retries=RetryPolicy(max_retries=1, initial_delay_secs=0.01))
    def first(value: object) -> object:
        return value

    calls: list[int] = []

    def failing(value: object) -> object:
        calls.append(len(calls))
        raise ValueError(value)

    park(backend, Flow("orders").wait_for_signal("go").then(first, name="pay").build())
    changed = Flow("orders").wait_for_signal("go").then(failing, name="pay").build()
    client = WorkflowClient(backend)
    with Worker("new", backend).start([changed]):
        client.send_signal("i", "go", None)
        assert client.wait("i", timeout="10s").status == "failed"
    assert len(calls) == 2


def test_keys_loops_and_children_run_by_todays_code(backend: Backend) -> None:
    def built(build: str, *, behind: bool) -> Workflow:
        child = Flow("child").then(saying(f"child {build}"), name="step").build()
        flow = (
            Flow("orders")
            .wait_for_signal("go")
            .loop(lambda _: LoopResult.done(f"loop {build}"), name="turn")
            .route(saying("left"), keys=["left"])
            .branch("left", saying(f"left {build}"))
            .done()
            .then_flow(child)
        )
        return (flow.then(saying("more"), name="more") if behind else flow).build()

    park(backend, built("A", behind=False))
    assert go_on(backend, built("B", behind=True)) == "child B"
    client = WorkflowClient(backend)
    assert client.get_task_result("i", "loop_0") == "loop B"


def test_what_todays_definition_lacks_waits_is_told_once_and_found(
    backend: Backend,
) -> None:
    park(backend, parked("A").build())
    renamed = Flow("orders").wait_for_signal("go").then(saying("x"), name="charge")
    client = WorkflowClient(backend)
    with capture_logs() as lines, Worker("new", backend).start([renamed.build()]):
        client.send_signal("i", "go", None)
        client.submit("orders", "j", None)
        until(lambda: client.count(status="stranded") == 1)
        assert [one.instance_id for one in client.list(status="stranded")] == ["i"]
        assert client.count(status="in_progress") == 1
        waiting_for = client.status("i").waiting_for
        assert waiting_for.startswith("task 'pay', attempt 1, due since 2")
        assert waiting_for.endswith(
            "; the worker that owns partition 0 lacks the code "
            "of 'orders' for 'pay': expected a task there in its definition, but "
            "nothing"
        )
        client.pause("i")
        until(lambda: client.status("i").status == "paused")
        assert client.count(status="stranded") == 0
        client.unpause("i")
        until(lambda: client.count(status="stranded") == 1)
    told = [line for line in lines if line["event"] == "instance.stranded"]
    assert [line["instance_id"] for line in told] == ["i"]
    with Worker("newer", backend).start([parked("C").build()]):
        assert client.wait("i", timeout="10s").output == "paid by C"
        assert client.count(status="stranded") == 0


def test_a_node_of_another_kind_is_not_its_code(backend: Backend) -> None:
    park(backend, parked("A").build())
    other = Flow("orders").wait_for_signal("go").delay("pay", 0)
    client = WorkflowClient(backend)
    with Worker("new", backend).start([other.build()]):
        client.send_signal("i", "go", None)
        until(lambda: client.count(status="stranded") == 1)
        assert client.status("i").waiting_for.endswith(
            "expected a task there in its definition, but a delay"
        )


def test_a_task_that_ends_a_loop_no_longer_is_not_its_code(backend: Backend) -> None:
    def first(value: object) -> object:
        return LoopResult.done(value)

    body = Flow("body").then(first, name="step")
    park(backend, Flow("orders").wait_for_signal("go").loop(body).build())
    longer = Flow("body").then(saying("x"), name="step").then(first, name="last")
    client = WorkflowClient(backend)
    with Worker("new", backend).start(
        [Flow("orders").wait_for_signal("go").loop(longer).build()]
    ):
        client.send_signal("i", "go", None)
        until(lambda: client.count(status="stranded") == 1)
        assert "a task that ends a loop's body" in client.status("i").waiting_for


def test_what_todays_function_needs_comes_from_the_run(backend: Backend) -> None:
    def pay(value: object, *, workflow_input: object, check: str) -> object:
        return [value, workflow_input, check]

    def flow() -> Flow:
        checked = Flow("orders").then(saying("fine"), name="check")
        return checked.wait_for_signal("go")

    park(backend, flow().then(saying("paid"), name="pay").build())
    assert go_on(backend, flow().then(pay).build()) == [None, None, "fine"]


def test_a_need_that_the_run_has_not_strands_it(backend: Backend) -> None:
    def pay(value: object, *, fraud: str) -> object:
        return [value, fraud]

    park(backend, parked("A").build())
    changed = (
        Flow("orders")
        .then(saying("none"), name="fraud")
        .wait_for_signal("go")
        .then(pay)
        .build()
    )
    client = WorkflowClient(backend)
    with Worker("new", backend).start([changed]):
        client.send_signal("i", "go", None)
        until(lambda: client.count(status="stranded") == 1)
        status = client.status("i")
        assert status.status == "in_progress"
        assert status.waiting_for.endswith(
            "its function needs 'fraud', which this run has not"
        )


def undoing(build: str, given: list[object]) -> Workflow:
    """A workflow that pays, and fails behind a signal, so that the pay is undone."""

    def give_back(value: object, paid: object) -> None:
        given.append((build, value, paid))

    pay = task(compensate=give_back)(saying(f"paid by {build}"))
    flow = Flow("orders", metadata={"build": build}).then(pay, name="pay")
    return flow.wait_for_signal("go").then(failing, name="ship").build()


def failing(value: object) -> object:
    raise ValueError(value)


def test_todays_code_undoes_what_a_run_of_another_build_did(backend: Backend) -> None:
    given: list[object] = []
    park(backend, undoing("A", given))
    client = WorkflowClient(backend)
    with Worker("new", backend).start([undoing("B", given)]):
        client.send_signal("i", "go", None)
        assert client.wait("i", timeout="10s").status == "failed"
    assert given == [("B", None, "paid by A")]


def test_a_compensation_that_today_lacks_strands_the_run_and_fails_nothing(
    backend: Backend,
) -> None:
    given: list[object] = []
    park(backend, undoing("A", given))
    plain = Flow("orders").then(saying("x"), name="pay").wait_for_signal("go")
    client = WorkflowClient(backend)
    without = plain.then(failing, name="ship").build()
    with Worker("new", backend).start([without]):
        client.send_signal("i", "go", None)
        until(lambda: client.count(status="stranded") == 1)
        status = client.status("i")
        assert (status.status, status.not_compensated) == ("in_progress", ())
        assert status.waiting_for.endswith(
            "lacks the code of 'orders' for 'pay/@compensate': expected a compensation "
            "there in its definition, but nothing"
        )
        with pytest.raises(CommandRefusedError, match="is being undone"):
            client.migrate("i", to=without)
    with Worker("newer", backend).start([undoing("C", given)]):
        assert client.wait("i", timeout="10s").compensated == ("pay",)
    assert given == [("C", None, "paid by A")]


# --- versions -------------------------------------------------------------------------

VERSIONS = [
    Flow("orders", version=version).then(saying(f"v{version}"), name="step").build()
    for version in ("9", "10")
]
PLAIN = Flow("orders").then(saying("plain"), name="step").build()


def test_several_versions_live_in_one_worker(backend: Backend) -> None:
    client = WorkflowClient(backend)
    with Worker("w", backend).start([VERSIONS[1], PLAIN, VERSIONS[0]]):
        outputs = [
            client.run("orders", "latest").output,
            client.run("orders", "nine", version="9").output,
            client.run(PLAIN, "plain").output,
            client.run(VERSIONS[0], "object").output,
        ]
        with pytest.raises(WorkflowError, match="'orders' of version '8'"):
            client.submit("orders", "none", version="8")
    assert outputs == ["v10", "v9", "plain", "v9"]
    assert [client.status(one).version for one in ("latest", "nine", "plain")] == [
        "10",
        "9",
        None,
    ]
    assert client.list(workflow="orders", limit=1)[0].version == "9"


def test_a_run_of_one_version_takes_no_code_of_another(backend: Backend) -> None:
    park(backend, parked("A").build())
    other = Flow("orders", version="2").wait_for_signal("go")
    client = WorkflowClient(backend)
    with Worker("new", backend).start([other.then(saying("x"), name="pay").build()]):
        client.send_signal("i", "go", None)
        until(lambda: client.count(status="stranded") == 1)
        assert client.status("i").waiting_for.endswith(
            "lacks the code of 'orders' for 'pay'"
        )


def test_a_version_is_text_that_says_something() -> None:
    for wrong in ("", "x" * 300, "\ud800", 2):
        with pytest.raises(ValueError, match="expected a version of 1 to 256 bytes"):
            Flow("orders", version=wrong)  # type: ignore[arg-type]
    client = WorkflowClient(InMemoryBackend())
    with pytest.raises(ValueError, match="that of the workflow"):
        client.submit(PLAIN, "i", version="3")


def test_two_definitions_of_one_name_and_version_are_refused(backend: Backend) -> None:
    again = Flow("orders").then(saying("plain"), name="step").build()
    other = Flow("orders").then(saying("other"), name="other").build()
    with Worker("w", backend).start([PLAIN, again]):
        pass
    with pytest.raises(ValueError, match="one definition of 'orders'") as caught:
        Worker("w", backend).start([PLAIN, VERSIONS[0], other])
    for place in ("workflow 1 of 3", "workflow 3 of 3"):
        assert place in str(caught.value)


# --- resume ---------------------------------------------------------------------------


def test_a_run_is_resumed_with_a_changed_definition_that_has_its_nodes(
    tmp_path: Path,
) -> None:
    with EmbeddedBackend(tmp_path / "log.db") as earlier:
        run_durable_workflow(parked("A").build(), "i", None, backend=earlier)
    backend = EmbeddedBackend(tmp_path / "log.db")
    WorkflowClient(backend).send_signal("i", "go", None)
    with pytest.raises(WorkflowError, match="definition mismatch"):
        resume_workflow(
            Flow("orders").wait_for_signal("go").then(len).build(), "i", backend
        )
    longer = parked("B", team="x").then(saying("shipped"), name="ship").build()
    assert resume_workflow(longer, "i", backend).output == "paid by B"
    backend.close()
