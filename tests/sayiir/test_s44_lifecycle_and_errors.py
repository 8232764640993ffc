"""S-44 to S-52: what a start, a resume and a failure say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sayiir_es import (
    BackendError,
    Flow,
    InMemoryBackend,
    InstanceAlreadyExistsError,
    TaskError,
    Worker,
    WorkflowClient,
    WorkflowError,
    cancel_workflow,
    pause_workflow,
    resume_workflow,
    run_durable_workflow,
    run_workflow,
    unpause_workflow,
)
from sayiir_es.client.stores import MemoryStores
from sayiir_es.log.memory.log import Fault, MemoryLog
from tests.sayiir.sample_tasks import (
    Crash,
    RecordingFunction,
    add_one,
    boom,
    double,
    run_crashing,
    same,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sayiir_es.log.port import NewRecord

ADD = Flow("sums").then(add_one).build()
CHANGED = Flow("sums").then(double).build()
PARKED = Flow("parked").then(add_one).wait_for_signal("go").build()


def test_s44_another_definition_is_refused_where_the_run_is_to_go_on(
    backend: InMemoryBackend, client: WorkflowClient
) -> None:
    run_durable_workflow(ADD, "ended", 1, backend)
    with pytest.raises(WorkflowError, match="definition mismatch") as caught:
        resume_workflow(CHANGED, "ended", backend)
    assert not isinstance(caught.value, InstanceAlreadyExistsError)
    # Not as Sayiir: a start is the same start behind a deploy (tests/client).
    with pytest.raises(InstanceAlreadyExistsError):
        client.submit(CHANGED, "ended", 1)


def test_s45_a_duplicate_is_refused_before_its_input_is_encoded(
    backend: InMemoryBackend, client: WorkflowClient
) -> None:
    run_durable_workflow(ADD, "known", 1, backend)
    with pytest.raises(InstanceAlreadyExistsError, match="already exists: known"):
        run_durable_workflow(ADD, "known", object(), backend)
    with pytest.raises(InstanceAlreadyExistsError):
        client.submit(ADD, "known", object())
    reusing_client = WorkflowClient(backend, conflict_policy="use_existing")
    assert reusing_client.submit(ADD, "known", object()).output == 2
    assert run_durable_workflow(ADD, "known", set[int](), backend, "use_existing").run
    with pytest.raises(TypeError, match="not JSON serializable"):
        client.submit(ADD, "unknown", object())
    with pytest.raises(TypeError, match="not JSON serializable"):
        run_durable_workflow(ADD, "unknown", object(), backend)


def test_s45_what_exists_is_not_executed_by_a_second_start(
    backend: InMemoryBackend, client: WorkflowClient
) -> None:
    recorder = RecordingFunction(add_one)
    flow = Flow().then(recorder, name="counted").build()
    client.submit(flow, "known", 1)
    status = run_durable_workflow(flow, "known", 1, backend, "use_existing")
    assert status.is_in_progress()
    with pytest.raises(InstanceAlreadyExistsError):
        run_durable_workflow(flow, "known", 1, backend)
    assert recorder.inputs == []


def test_s46_only_run_workflow_raises_for_what_did_not_complete(
    backend: InMemoryBackend,
) -> None:
    bad = Flow().then(boom).build()
    status = run_durable_workflow(bad, "status", 1, backend)
    assert (status.status, status.error) == ("failed", "ValueError: bang")
    with pytest.raises(WorkflowError, match=r"did not complete \(status=failed\)"):
        run_workflow(bad, 1, instance_id="raises", backend=backend)
    with pytest.raises(WorkflowError, match=r"\(status=awaiting_signal\)"):
        run_workflow(PARKED, 1, instance_id="parked", backend=backend)


class FlakyBackend(InMemoryBackend):
    """In memory, on a log that loses some acknowledgements."""

    def __init__(self, faults: EveryThird) -> None:
        super().__init__()
        self._log = MemoryLog(faults=faults)
        self._stores = MemoryStores()


class EveryThird:
    """Loses the acknowledgement of every third batch: whether it landed is unknown."""

    def __init__(self) -> None:
        self.losses = 0
        self._batches = 0

    def next(self, partition: int, batch: Sequence[NewRecord]) -> Fault:
        """The fault of this batch."""
        del partition, batch
        self._batches += 1
        if self._batches % 3:
            return Fault()
        self.losses += 1
        return Fault(answered_after_s=None, limit_s=0.01)


def test_s47_a_log_that_stumbles_fails_no_workflow() -> None:
    faults = EveryThird()
    flow = Flow()
    for _ in range(5):
        flow = flow.then(add_one)
    with FlakyBackend(faults) as backend:
        assert run_durable_workflow(flow.build(), "x", 0, backend).output == 5
    assert faults.losses


CALLS: list[Callable[[InMemoryBackend], object]] = [
    lambda backend: resume_workflow(ADD, "nobody", backend),
    lambda backend: cancel_workflow("nobody", backend),
    lambda backend: pause_workflow("nobody", backend),
    lambda backend: unpause_workflow("nobody", backend),
    lambda backend: WorkflowClient(backend).status("nobody"),
    lambda backend: WorkflowClient(backend).get_task_result("nobody", "x"),
]


@pytest.mark.parametrize("call", CALLS)
def test_s48_an_unknown_id_is_not_found(
    call: Callable[[InMemoryBackend], object], backend: InMemoryBackend
) -> None:
    with pytest.raises(BackendError, match=r"(?i)not found: nobody") as caught:
        call(backend)
    assert isinstance(caught.value, RuntimeError)


def test_s49_resuming_what_has_ended_tells_its_end_again(
    backend: InMemoryBackend,
) -> None:
    bad = Flow().then(boom).build()
    failed = run_durable_workflow(bad, "bad", 1, backend)
    assert resume_workflow(bad, "bad", backend).error == failed.error
    run_durable_workflow(ADD, "good", 1, backend)
    assert resume_workflow(ADD, "good", backend).output == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_s50_what_ends_a_process_propagates_and_the_instance_goes_on(
    error: type[BaseException], backend: InMemoryBackend, client: WorkflowClient
) -> None:
    calls: list[object] = []

    def interrupted(value: object) -> object:
        calls.append(value)
        if len(calls) == 1:
            raise error
        return value

    flow = Flow().then(interrupted).build()
    with pytest.raises(error):
        run_durable_workflow(flow, "stopped", 7, backend)
    assert client.status("stopped").is_in_progress()
    assert resume_workflow(flow, "stopped", backend).output == 7
    assert calls == [7, 7]
    calls.clear()
    with pytest.raises(error):
        run_workflow(flow, 7)


def test_s50_in_a_worker_it_is_a_failed_attempt(
    backend: InMemoryBackend, client: WorkflowClient
) -> None:
    flow = Flow().then(Crash(), name="crash").build()
    with Worker("w1", backend).start([flow]):
        client.submit(flow, "stopped", 1)
        assert client.wait("stopped", timeout=30).error == "KeyboardInterrupt"


def test_s51_the_simple_engine_tells_where_and_the_durable_one_what() -> None:
    def outer(value: object) -> object:
        def inner_function() -> object:
            raise ValueError("bang")

        return [value, inner_function()]

    flow = Flow().then(outer).build()
    with pytest.raises(TaskError, match="ValueError: bang") as caught:
        run_workflow(flow, 1)
    assert "inner_function" in str(caught.value)
    assert run_durable_workflow(flow, "durable", 1).error == "ValueError: bang"


def test_s52_without_a_backend_each_run_has_its_own() -> None:
    for _ in range(3):
        assert run_durable_workflow(ADD, "inst-1", 1).output == 2


def test_s52_a_crash_without_a_backend_is_the_end_of_it(
    backend: InMemoryBackend,
) -> None:
    flow = Flow().then(Crash(), name="crash").then(same).build()
    run_crashing(flow, "kept", 1, backend)
    assert resume_workflow(flow, "kept", backend).output == 1
