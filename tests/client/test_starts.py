"""Starts: by which policy, how long for an answer, until the end, or only durable."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es import (
    BackendError,
    EmbeddedBackend,
    Flow,
    InMemoryBackend,
    InstanceAlreadyExistsError,
    InstanceNotFoundError,
    NoWorkerError,
    SubmitManyError,
    Worker,
    WorkflowClient,
    WorkflowError,
    aio,
    run_durable_workflow,
)
from sayiir_es.engine.requests.responder import SEARCHES_MAX
from sayiir_es.log.port import Topic
from sayiir_es.wire.reply_address import REPLY_WHEN
from sayiir_es.wire.requests import Decided, Ended, FindDecision
from tests.client.group_backend import GroupBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sayiir_es.client.backends import Backend
    from sayiir_es.client.requests import Call
    from sayiir_es.wire.requests import Answer

LIMIT_S = 20.0


def double(number: int) -> int:
    return number * 2


def fail(number: int) -> int:
    raise ValueError(number)


doubling = Flow("doubling").then(double).build()
changed = Flow("doubling").then(double).then(double, name="again").build()
failing = Flow("failing").then(fail).build()
parked = Flow("parked").wait_for_signal("go").build()


@pytest.fixture(params=["memory", "file", "group"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    makers: dict[str, Callable[[], Backend]] = {
        "memory": InMemoryBackend,
        "file": lambda: EmbeddedBackend(tmp_path / "log.db"),
        "group": GroupBackend,
    }
    with makers[request.param]() as backend:
        yield backend


@pytest.fixture
def group() -> Iterator[GroupBackend]:
    with GroupBackend() as backend:
        yield backend


async def headers_of_commands(backend: Backend) -> list[dict[str, bytes]]:
    """The headers of each command on the log's only partition."""
    log = backend.open_log()
    await log.open(create=False)
    reader = await log.reader(Topic.COMMANDS, 0, 0)
    try:
        chunk = await reader.read(max_wait_s=LIMIT_S)
        assert chunk is not None
        return [dict(record.headers) for record in chunk.records]
    finally:
        await reader.close()
        await log.close()


# --- until the end --------------------------------------------------------------------


def test_a_run_returns_the_end(backend: Backend) -> None:
    client = WorkflowClient(backend)
    with Worker("w", backend).start([doubling, failing]):
        assert client.run(doubling, "a", 21, timeout=LIMIT_S).output == 42
        assert client.run("doubling", "b", 4, timeout="20s").output == 8
        failed = client.run(failing, "c", 1, timeout=LIMIT_S)
        assert failed.is_failed()
        submitted = client.submit(doubling, "d", 1, wait=True, timeout=LIMIT_S)
        assert submitted.output == 2


async def test_a_run_is_awaited_on_the_callers_loop(backend: Backend) -> None:
    with Worker("w", backend).start([doubling]):
        async with aio.WorkflowClient(backend) as client:
            status = await client.run(doubling, "a", 21, timeout=LIMIT_S)
    assert status.output == 42


async def test_a_run_is_one_record_that_asks_for_the_end(group: GroupBackend) -> None:
    log = group.open_log()
    with Worker("w", group).start([doubling]):
        async with aio.WorkflowClient(group) as client:
            await client.run(doubling, "a", 1, timeout=LIMIT_S)
            requests = await log.request_topics.subscribe(Topic.REQUESTS, 0)
            await client.run(doubling, "b", 1, timeout=LIMIT_S)
            # What is asked now is the first question.
            await client.status("b")
            first, *_ = await requests.read()
            await requests.close()
    assert b"describe" in (first.value or b"")
    headers = await headers_of_commands(group)
    assert [one[REPLY_WHEN] for one in headers] == [b"ended", b"ended"]


def test_a_run_raises_what_the_owner_refuses(backend: Backend) -> None:
    client = WorkflowClient(backend)
    with Worker("w", backend).start([doubling]):
        client.run(doubling, "a", 1, timeout=LIMIT_S)
        with pytest.raises(InstanceAlreadyExistsError, match="already exists: a"):
            client.run(doubling, "a", 1, timeout=LIMIT_S)
        with pytest.raises(WorkflowError, match="'nobody'"):
            client.run("nobody", "b", 1, timeout=LIMIT_S)
        again = client.run(
            doubling, "a", 9, conflict_policy="use_existing", timeout=LIMIT_S
        )
        assert (again.output, again.run) == (2, 1)
        anew = client.run(
            doubling, "a", 9, conflict_policy="terminate_existing", timeout=LIMIT_S
        )
        assert (anew.output, anew.run) == (18, 2)


def test_a_run_that_does_not_end_in_time_goes_on(backend: Backend) -> None:
    client = WorkflowClient(backend)
    with Worker("w", backend).start([parked]):
        with pytest.raises(TimeoutError, match=r"'a' to end within 0\.3 s"):
            client.run(parked, "a", timeout=0.3)
        client.send_signal("a", "go", 7)
        assert client.wait("a", timeout=LIMIT_S).output == 7


def test_a_run_waits_for_an_existing_instance_under_use_existing(
    backend: Backend,
) -> None:
    client = WorkflowClient(backend, conflict_policy="use_existing")
    with (
        Worker("w", backend).start([parked]),
        ThreadPoolExecutor() as threads,
    ):
        client.submit(parked, "a")
        runs = [
            threads.submit(client.run, parked, "a", value, timeout=LIMIT_S)
            for value in (1, object())  # which nobody needs to encode
        ]
        client.send_signal("a", "go", 7)
        assert [run.result().output for run in runs] == [7, 7]


def test_a_run_hears_its_end_from_the_next_owner(backend: Backend) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def hold(number: int) -> int:
        begun.set()
        assert may_end.wait(LIMIT_S)
        return number

    holding = Flow("holding").then(hold).then(double, name="next").build()
    client = WorkflowClient(backend)
    first = Worker("first", backend).start([holding])
    with ThreadPoolExecutor() as threads:
        run = threads.submit(client.run, holding, "a", 21, timeout=LIMIT_S)
        assert begun.wait(LIMIT_S)
        first.shutdown()
        may_end.set()
        first.join()
        with Worker("second", backend).start([holding]):
            assert run.result().output == 42


def test_a_run_in_this_process_needs_no_worker_to_be_decided(tmp_path: Path) -> None:
    with EmbeddedBackend(tmp_path / "log.db") as backend, ThreadPoolExecutor() as pool:
        client = WorkflowClient(backend)
        run = pool.submit(client.run, doubling, "a", 21, timeout=LIMIT_S)
        until_known(client, "a")
        with Worker("w", backend).start([doubling]):
            assert run.result().output == 42


def until_known(client: WorkflowClient, *instance_ids: str) -> None:
    """Return when the starts of these are decided."""
    end_s = time.monotonic() + LIMIT_S
    for instance_id in instance_ids:
        while True:
            try:
                client.status(instance_id)
                break
            except InstanceNotFoundError:
                assert time.monotonic() < end_s
                time.sleep(0.02)


async def test_an_owner_knows_an_accepted_start_by_its_id(group: GroupBackend) -> None:
    session = group.new_session()
    with Worker("w", group).start([parked]):
        async with aio.WorkflowClient(group) as client:
            await client.submit(parked, "other")
            await client.submit(parked, "a", command_id="mail-81")
            await session.open()
            await session.requests.open(create=False)
            call = session.requests.expect(0, decided=False, ended=True)
            # The decision on that offset is another instance's: a search of the log
            # would find none.
            question = FindDecision(instance_id="a", offset=0, command_id="mail-81")
            session.requests.post(call, question, again_s=LIMIT_S)
            await client.send_signal("a", "go", 7)
            assert await session.requests.is_answered(call)
    answer = call.answer
    assert isinstance(answer, Ended)
    assert answer.status is not None
    assert answer.status.output == b"7"
    await session.close()


async def test_decisions_that_many_ask_after_at_once_are_told_to_all(
    group: GroupBackend,
) -> None:
    session = group.new_session()
    with Worker("w", group).start([parked]):
        async with aio.WorkflowClient(group) as client:
            await client.submit(parked, "a")
            await session.open()
            await session.requests.open(create=False)
            question = FindDecision(instance_id="a", offset=0, command_id="")
            calls = [session.requests.expect(0) for _ in range(2 * SEARCHES_MAX)]
            for call in calls:
                session.requests.post(call, question, again_s=0.1)

            async def reply_to(call: Call) -> Answer | None:
                try:
                    await session.requests.is_answered(call, LIMIT_S)
                finally:
                    session.requests.forget(call)
                return call.reply

            answers = await asyncio.gather(*map(reply_to, calls))
    assert {type(answer) for answer in answers} == {Decided}
    await session.close()


# --- without an answer ----------------------------------------------------------------


def test_nobody_answers_in_time(group: GroupBackend) -> None:
    client = WorkflowClient(group)
    with pytest.raises(NoWorkerError) as caught:
        client.submit(doubling, "a", 21, timeout=0.2)
    assert str(caught.value) == (
        "expected an answer to StartWorkflow within 0.2 s, but no worker owns "
        "partition 0; start one with `sayiir-es worker run MODULE`; the command stays "
        "and is decided later"
    )
    assert isinstance(caught.value, BackendError)
    for policy in ("fail", "use_existing"):
        with pytest.raises(NoWorkerError):
            client.run(doubling, "b", 21, timeout="200ms", conflict_policy=policy)
    with Worker("w", group).start([doubling]):
        until_known(client, "a", "b")
        assert client.wait("a", timeout=LIMIT_S).output == 42
        assert client.wait("b", timeout=LIMIT_S).output == 42


def test_a_start_that_the_log_acknowledges_needs_no_worker(backend: Backend) -> None:
    client = WorkflowClient(backend)
    status = client.submit(doubling, "a", 21, ack="log", attributes={"customer": "42"})
    assert (status.status, status.instance_id) == ("submitted", "a")
    assert (status.workflow, status.attributes) == ("doubling", {"customer": "42"})
    assert status.definition_hash == doubling.definition_hash
    assert status.waiting_for == "the decision of the owner of partition 0"
    with Worker("w", backend).start([doubling]):
        until_known(client, "a")
        assert client.wait("a", timeout=LIMIT_S).output == 42


def test_an_ack_of_the_log_and_a_wait_do_not_go_together() -> None:
    wrong: Any = "broker"
    with InMemoryBackend() as backend:
        client = WorkflowClient(backend)
        with pytest.raises(ValueError, match='expected ack="owner" where wait=True'):
            client.submit(doubling, "a", 1, ack="log", wait=True)
        with pytest.raises(ValueError, match='"owner" or "log", but \'broker\''):
            client.submit(doubling, "a", 1, ack=wrong)
        with pytest.raises(TypeError, match="not JSON serializable"):
            client.submit(doubling, "a", object(), ack="log")


# --- once -----------------------------------------------------------------------------


def test_a_command_id_makes_a_start_idempotent(backend: Backend) -> None:
    client = WorkflowClient(backend)
    with Worker("w", backend).start([doubling]):
        for _ in range(2):
            status = client.run(doubling, "a", 4, command_id="mail-81", timeout=LIMIT_S)
            assert (status.output, status.run) == (8, 1)
        assert client.submit(doubling, "a", 4, command_id="mail-81").output == 8
        with pytest.raises(InstanceAlreadyExistsError):
            client.submit(doubling, "a", 4, command_id="mail-82")
        for wrong in ("", "x" * 257):
            with pytest.raises(WorkflowError, match="command_id"):
                client.submit(doubling, "b", 4, command_id=wrong)


def test_the_policy_of_a_call_goes_before_the_clients(backend: Backend) -> None:
    client = WorkflowClient(backend, conflict_policy="use_existing")
    with Worker("w", backend).start([parked]):
        client.submit(parked, "a")
        assert client.submit(parked, "a").run == 1
        with pytest.raises(InstanceAlreadyExistsError):
            client.submit(parked, "a", conflict_policy="fail")
        assert client.submit(parked, "a", conflict_policy="terminateExisting").run == 2
        with pytest.raises(ValueError, match="invalid conflict_policy"):
            client.submit(parked, "a", conflict_policy="replace")


def test_a_start_behind_a_changed_definition_is_the_same_start(
    backend: Backend,
) -> None:
    client = WorkflowClient(backend)
    with Worker("w", backend).start([doubling]):
        old = client.run(doubling, "a", 1, timeout=LIMIT_S)
    with Worker("w", backend).start([changed]):
        for start in (client.submit, client.run):
            with pytest.raises(InstanceAlreadyExistsError):
                start(changed, "a", 1)
            found = start(changed, "a", 1, conflict_policy="use_existing")
            assert (found.output, found.definition_hash) == (2, old.definition_hash)
        anew = client.run(
            changed,
            "a",
            1,
            conflict_policy="terminate_existing",
            timeout=LIMIT_S,
        )
        assert (anew.output, anew.definition_hash) == (4, changed.definition_hash)


# --- many -----------------------------------------------------------------------------


def test_many_are_started_by_one_call_and_come_back_in_order(backend: Backend) -> None:
    client = WorkflowClient(backend)
    starts = [(f"i{number}", number) for number in range(50)]
    with Worker("w", backend).start([doubling]):
        ended = client.submit_many(doubling, iter(starts), wait=True, timeout=LIMIT_S)
        assert [status.output for status in ended] == [2 * n for _, n in starts]
        again = client.submit_many(
            "doubling", starts, conflict_policy="use_existing", max_concurrent=7
        )
        assert [status.instance_id for status in again] == [name for name, _ in starts]
        assert client.submit_many(doubling, []) == ()


def test_all_of_many_are_tried_and_the_errors_are_together(backend: Backend) -> None:
    client = WorkflowClient(backend)
    with Worker("w", backend).start([doubling]):
        client.submit(doubling, "b", 1)
        with pytest.raises(SubmitManyError) as caught:
            client.submit_many(
                doubling, [("a", 1), ("b", 1), ("", 1), ("c", object()), ("d", 1)]
            )
        error = caught.value
        assert [name for name, _ in error.errors] == ["b", "", "c"]
        kinds = [type(one).__name__ for _, one in error.errors]
        assert kinds == ["InstanceAlreadyExistsError", "WorkflowError", "EncodeError"]
        assert error.__cause__ is error.errors[0][1]
        assert str(error) == (
            "expected 5 instances to start, but 3 did not; the first is 'b': Workflow "
            "instance already exists: b"
        )
        assert [client.wait(name, timeout=LIMIT_S).output for name in "ad"] == [2, 2]
        with pytest.raises(ValueError, match="max_concurrent of 1 or more"):
            client.submit_many(doubling, [("e", 1)], max_concurrent=0)


async def test_many_are_durable_without_a_worker(backend: Backend) -> None:
    async with aio.WorkflowClient(backend) as client:
        statuses = await client.submit_many(
            doubling, [(f"i{number}", number) for number in range(20)], ack="log"
        )
        assert {status.status for status in statuses} == {"submitted"}
    assert len(await headers_of_commands(backend)) == 20


def test_threads_that_call_first_at_one_moment_share_a_session(
    backend: Backend,
) -> None:
    threads = 8
    together = threading.Barrier(threads)
    before = _loop_threads(backend)

    def submit(number: int) -> str:
        together.wait(LIMIT_S)
        return client.submit(parked, f"i{number}").status

    client = WorkflowClient(backend)
    with (
        Worker("w", backend).start([parked]),
        ThreadPoolExecutor(threads) as executor,
    ):
        statuses = list(executor.map(submit, range(threads)))
    assert statuses == ["awaiting_signal"] * threads
    assert len(_loop_threads(backend) - before) == 1


# --- helpers --------------------------------------------------------------------------


def _loop_threads(backend: Backend) -> set[threading.Thread]:
    """The threads of the loops of this kind of backend."""
    name = f"sayiir-{type(backend).__name__}"
    return {thread for thread in threading.enumerate() if thread.name == name}


def test_a_helper_too_takes_a_changed_definition_for_the_same_start(
    tmp_path: Path,
) -> None:
    with EmbeddedBackend(tmp_path / "log.db") as backend:
        run_durable_workflow(doubling, "a", 1, backend)
        with pytest.raises(InstanceAlreadyExistsError):
            run_durable_workflow(changed, "a", 1, backend)
        assert (
            run_durable_workflow(changed, "a", 1, backend, "use_existing").output == 2
        )
        anew = run_durable_workflow(changed, "a", 1, backend, "terminate_existing")
        assert anew.output == 4
