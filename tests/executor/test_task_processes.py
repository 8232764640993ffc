"""Tasks in processes of an executor: what one does harms no other."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

from sayiir_es import Executor, Flow, InMemoryBackend, Worker, WorkflowClient, task
from sayiir_es.audit.history import history
from sayiir_es.core.model.attempt_events import AttemptPublished
from sayiir_es.core.model.errors import UsageError
from sayiir_es.engine import tracer
from tests.engine.attempts.processes.process_harness import is_alive
from tests.executor import process_flows as flows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LIMIT_S = 30.0


@pytest.fixture(scope="module")
def backend() -> Iterator[InMemoryBackend]:
    """A worker that decides, and an executor that has two processes."""
    made = InMemoryBackend()
    with (
        Worker("w", made, cancel_grace=0.2).start(flows.FLOWS),
        Executor("e", made, processes=2).start(flows.FLOWS),
    ):
        yield made
    made.close()


@pytest.fixture
def client(backend: InMemoryBackend) -> WorkflowClient:
    return WorkflowClient(backend)


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end_s = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def has_ended(process: int) -> bool:
    return not is_alive(process)


def text_of(file: Path) -> str:
    """What a task wrote into a file, as soon as it has."""
    until(file.exists)
    return file.read_text()


def test_a_task_runs_in_a_process_with_its_context(client: WorkflowClient) -> None:
    status = client.run(flows.telling, "t", 7, timeout=LIMIT_S)
    value, process, key, attempt = cast("list[Any]", status.output)
    assert (value, key, attempt) == (7, "t/1/process_of", 1)
    assert process != os.getpid()
    plain = client.run(flows.plain, "p", 0, timeout=LIMIT_S)
    assert plain.output == os.getpid(), "an async task runs on the executor's loop"


def test_loops_and_values_by_name_reach_processes(client: WorkflowClient) -> None:
    assert client.run(flows.adding, "a", 3, timeout=LIMIT_S).output == 27


WAYS = {
    "abort": "SIGABRT (6)",
    "exit": "exit code 3",
    "kill": "SIGKILL (9)",
    "crash": "SIGSEGV (11)",
    "close": "lost its connection",
    "write": "wrote into its connection",
}


def test_no_way_to_die_harms_an_attempt_beside_it(
    client: WorkflowClient, tmp_path: Path
) -> None:
    file = tmp_path / "innocent"
    client.submit(flows.waiting, "innocent", str(file))
    process = int(text_of(file))
    for way, words in WAYS.items():
        status = client.run(flows.dying, way, way, timeout=LIMIT_S)
        assert (status.status, status.error_type) == ("failed", "process_died")
        assert words in str(status.error)
    status = client.run(flows.eating, "eating", None, timeout=LIMIT_S)
    assert status.error_type == "out_of_memory"
    assert "at most 400 MiB" in str(status.error)
    assert is_alive(process)
    (tmp_path / "innocent.go").touch()
    assert client.wait("innocent", LIMIT_S).output == "innocent"


def test_a_time_out_kills_with_all_that_the_attempt_began(
    client: WorkflowClient, tmp_path: Path
) -> None:
    file = tmp_path / "endless"
    status = client.run(flows.endless, "endless", str(file), timeout=LIMIT_S)
    assert status.error_type == "timeout"
    for process in map(int, text_of(file).split()):
        until(partial(has_ended, process))
    again = client.run(flows.telling, "behind", 1, timeout=LIMIT_S)
    assert cast("list[Any]", again.output)[0] == 1


def test_heartbeats_are_told_from_processes(client: WorkflowClient) -> None:
    assert client.run(flows.beating, "b", 25, timeout=LIMIT_S).output == 25
    status = client.run(flows.beating, "silent", 0, timeout=LIMIT_S)
    assert status.error_type == "heartbeat_timeout"


def test_a_cancel_is_told_and_kills_who_does_not_listen(
    client: WorkflowClient, tmp_path: Path
) -> None:
    listens, swallows = tmp_path / "listens", tmp_path / "swallows"
    client.submit(flows.listening, "listens", str(listens))
    client.submit(flows.swallowing, "swallows", str(swallows))
    text_of(listens)
    process = int(text_of(swallows))
    for name in ("listens", "swallows"):
        client.cancel(name)
        assert client.wait(name, LIMIT_S).status == "cancelled"
    until((tmp_path / "listens.told").exists)
    until(partial(has_ended, process))


def test_attempts_that_wait_for_a_process_hold_up_no_others(
    client: WorkflowClient, tmp_path: Path
) -> None:
    names = [f"busy-{number}" for number in range(6)]
    for name in names:
        client.submit(flows.waiting, name, str(tmp_path / name))
    until(lambda: sum((tmp_path / name).exists() for name in names) == 2)
    assert client.run(flows.plain, "beside", 0, timeout=LIMIT_S).output == os.getpid()
    for name in names:
        (tmp_path / f"{name}.go").touch()
    for name in names:
        assert client.wait(name, LIMIT_S).output == "innocent"


def test_what_a_worker_has_no_process_for_another_one_runs(tmp_path: Path) -> None:
    flow, names = flows.waiting_anywhere, ["i0", "i1"]
    with (
        InMemoryBackend() as backend,
        Worker("a", backend, processes=1, max_concurrent_tasks=1).start([flow]),
        Worker("b", backend, processes=1, max_concurrent_tasks=1).start([flow]),
    ):
        client = WorkflowClient(backend)
        for name in names:
            client.submit(flow, name, str(tmp_path / name))
        until(lambda: all((tmp_path / name).exists() for name in names))
        for name in names:
            (tmp_path / f"{name}.go").touch()
        for name in names:
            assert client.wait(name, LIMIT_S).output == "innocent"
        bodies = [
            one.event.body for name in names for one in history(backend, name).events
        ]
    assert [type(body) for body in bodies].count(AttemptPublished) == 1


def test_at_its_end_what_waits_is_handed_back_and_no_process_stays(
    tmp_path: Path,
) -> None:
    backend, workflow = InMemoryBackend(), flows.waiting
    names = [f"i-{number}" for number in range(3)]
    with Worker("w", backend).start([workflow]):
        client = WorkflowClient(backend)
        first = Executor("first", backend, processes=1, prefetch=8, drain=0.2)
        with first.start([workflow]):
            for name in names:
                client.submit(workflow, name, str(tmp_path / name))
            until(lambda: any((tmp_path / name).exists() for name in names))
        (begun,) = [name for name in names if (tmp_path / name).exists()]
        assert has_ended(int((tmp_path / begun).read_text()))
        for name in names:
            (tmp_path / f"{name}.go").touch()
        with Executor("second", backend, processes=1).start([workflow]):
            for name in names:
                assert client.wait(name, LIMIT_S).output == "innocent"
    backend.close()


def test_a_function_of_another_build_runs_where_this_one_has_it() -> None:
    """The run's graph has the tasks at other places, and nobody here knows it."""
    backend = InMemoryBackend()
    before, behind = flows.moving(has_moved=False), flows.moving(has_moved=True)
    with (
        Worker("w", backend).start([before]),
        Executor("new", backend, processes=1).start([behind]),
    ):
        client = WorkflowClient(backend)
        assert client.run(before, "i", 7, timeout=LIMIT_S).output == 21
    backend.close()


def test_resources_are_made_in_each_process() -> None:
    backend, making = InMemoryBackend(), flows.making()
    executor = Executor("e", backend, processes=1, on_startup=flows.makes)
    with (
        Worker("w", backend, on_startup=flows.makes).start([making]),
        executor.start([making]),
    ):
        client = WorkflowClient(backend)
        assert client.run(making, "i", 7, timeout=LIMIT_S).output == 107
    backend.close()


def test_a_task_that_no_process_can_import_is_refused_at_the_start() -> None:
    @task(execute="remote", executor="process")
    def local(value: int) -> int:
        return value

    backend = InMemoryBackend()
    with pytest.raises(UsageError, match="top level of a module"):
        Executor("e", backend).start([Flow("local").then(local).build()])
    with pytest.raises(ValueError, match="processes of at least 1, but 0"):
        Executor("e", backend, processes=0)
    backend.close()


class _FailsOnce(Sampler):
    """A program's own, which raises for the first attempt."""

    def __init__(self) -> None:
        self.asked = 0

    def should_sample(  # noqa: PLR0913, PLR0917 (OpenTelemetry's)
        self,
        parent_context: object,
        trace_id: int,
        name: str,
        kind: object = None,
        attributes: object = None,
        links: object = None,
        trace_state: object = None,
    ) -> SamplingResult:
        del parent_context, trace_id, kind, attributes, links, trace_state
        self.asked += name == "attempt process_of"
        if name == "attempt process_of" and self.asked == 1:
            raise ZeroDivisionError("nobody foresaw it")
        return SamplingResult(Decision.DROP)

    def get_description(self) -> str:
        return "fails once"


def test_an_attempt_that_cannot_even_begin_is_handed_back(
    client: WorkflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = _FailsOnce()
    state = tracer._Tracing  # pyright: ignore[reportPrivateUsage]  # no global provider
    provider = TracerProvider(sampler=sampler)
    monkeypatch.setattr(state, "tracer", provider.get_tracer(tracer.SCOPE))
    status = client.run(flows.telling, "again", 7, timeout=LIMIT_S)
    assert cast("list[Any]", status.output)[0] == 7
    assert sampler.asked == 2
