"""Attempts that nobody may run: what they wait for is said, found and counted."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es import Executor, Flow, InMemoryBackend, Worker, WorkflowClient, task
from sayiir_es.cli.executor_list import waiting_elsewhere
from sayiir_es.core.status.search import Search
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.operations.doctor.examination import examine
from sayiir_es.operations.doctor.finding import Mark
from sayiir_es.operations.trouble import find_trouble
from sayiir_es.operations.unplaced_tasks import find_unplaced
from sayiir_es.wire.executor_requests import OfferSlots
from sayiir_es.wire.requests import encode_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT_S = 10.0


@task(execute="remote", tags=["gpu", "eu"])
def paint(value: int) -> int:
    return value


@task(execute="remote")
def plain(value: int) -> int:
    return value


@task(tags=["gpu"])
def tagged(value: int) -> int:
    return value


painting = Flow[int, int]("painting").then(paint).build()
remote = Flow[int, int]("remote").then(plain).build()
tagging = Flow[int, int]("tagging").then(tagged).build()
both: Any = Flow("both").fork().branch(paint).branch(plain).join(dict)
FLOWS: list[Any] = [painting, remote, tagging, both.build()]


@pytest.fixture
def backend() -> Iterator[InMemoryBackend]:
    made = InMemoryBackend()
    yield made
    made.close()


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end_s = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def lack_of(client: WorkflowClient, instance_id: str) -> str:
    """What an instance waits for, without since when."""
    text = client.status(instance_id).waiting_for
    assert ", due since 20" in text
    return text.partition("Z; ")[2]


def test_what_needs_an_executor_says_which_and_why_none_runs_it(
    backend: InMemoryBackend,
) -> None:
    client = WorkflowClient(backend)
    owner = "the worker that owns partition 0 lacks an executor with the code of "
    with Worker("w", backend, tags=["cpu"]).start(FLOWS):
        client.submit(painting, "p", 1)
        client.submit(remote, "r", 1)
        until(lambda: client.count(waiting_for="executor") == 2)
        painted = f"{owner}'painting' and the tags 'eu', 'gpu' for 'paint': "
        assert lack_of(client, "p") == f"{painted}none is there"
        assert lack_of(client, "r") == f"{owner}'remote' for 'plain': none is there"
        with Executor("cpu", backend, tags=["cpu"]).start([painting]):
            words = f"{painted}of the 1 that are known none offers to run it"
            until(lambda: lack_of(client, "p") == words)
        with Executor("gpu", backend, tags=["gpu", "eu"]).start([painting, remote]):
            for name in ("p", "r"):
                assert client.wait(name, LIMIT_S).status == "completed"


async def test_an_executor_that_offers_the_task_and_lacks_a_tag_is_told(
    backend: InMemoryBackend,
) -> None:
    client = WorkflowClient(backend)
    offer = OfferSlots(
        executor="foreign", free=1, slots=1, tags=("gpu",), tasks=("painting/paint",)
    )
    with Worker("w", backend).start([painting]):
        log = backend.open_log()
        await log.open(create=True)
        await log.request_topics.open(create=True)
        record = NewRecord(key=None, value=encode_request(offer))
        await asyncio.to_thread(client.submit, painting, "p", 1)
        words = "of the 1 that offer to run it none has the tag 'eu'"

        def is_told() -> bool:
            log.request_topics.post(Topic.REQUESTS, 0, record)
            return lack_of(client, "p").endswith(words)

        await asyncio.to_thread(until, is_told)
        await log.close()


def test_who_waits_for_a_slot_says_whose_are_all_taken(
    backend: InMemoryBackend,
) -> None:
    may_end = threading.Event()

    def hold(value: int) -> int:
        assert may_end.wait(LIMIT_S)
        return value

    here = Flow[int, int]("here").then(hold).build()
    there = Flow[int, int]("there").then(task(execute="remote")(hold)).build()
    client = WorkflowClient(backend)
    executor = Executor("e", backend, max_concurrent_tasks=1, prefetch=0)
    with Worker("w", backend, max_concurrent_tasks=1).start([here, there]):
        client.submit(here, "h-1", 1)
        client.submit(here, "h-2", 1)
        owner = "all slots of the worker that owns partition 0"
        assert lack_of(client, "h-2") == f"{owner} are taken"
        assert client.status("h-1").waiting_for == "task 'hold', attempt 1"
        with executor.start([here, there]):
            one = "the only executor that runs it are taken"
            until(lambda: "with executor" in client.status("h-2").waiting_for)
            client.submit(there, "t", 1)
            until(lambda: "all slots" in client.status("t").waiting_for)
            assert lack_of(client, "t") == f"all slots of {one}"
            client.submit(here, "h-3", 1)
            assert lack_of(client, "h-3") == f"{owner} and of {one}"
            reports = [found.report for found in client.partitions()]
            assert waiting_elsewhere(one for one in reports if one is not None) == 1
            may_end.set()
            for name in ("h-1", "h-2", "h-3", "t"):
                assert client.wait(name, LIMIT_S).status == "completed"


def test_each_lack_of_an_instance_is_found_and_counted(
    backend: InMemoryBackend,
) -> None:
    client = WorkflowClient(backend)
    with Worker("w", backend, tags=["cpu"]).start(FLOWS):
        for workflow in FLOWS:
            client.submit(workflow, workflow.graph.name, 1)
        until(lambda: client.count(waiting_for="executor") == 3)
        assert client.count_by("waiting_for") == {
            "executor:paint": 2,
            "executor:plain": 2,
            "tag:tagged": 1,
        }
        assert client.count(status="stranded") == 3, "a tag is a matter of choice"
        found = [one.instance_id for one in client.list(waiting_for="executor:plain")]
        assert sorted(found) == ["both", "remote"]


async def test_doctor_and_the_pages_say_what_to_start(
    backend: InMemoryBackend,
) -> None:
    client = WorkflowClient(backend)
    with Worker("w", backend, tags=["cpu"]).start(FLOWS):
        for workflow in (painting, tagging):
            await asyncio.to_thread(client.submit, workflow, workflow.graph.name, 1)
        session = backend.new_session()
        await session.open()
        await session.definitions.refresh()
        tag, executor = sorted(
            await find_unplaced(session), key=lambda one: one.kind, reverse=True
        )
        assert executor.summary == (
            "instances of 'painting' that wait for an executor with the tags 'eu', "
            "'gpu' to run 'paint': 1"
        )
        assert (
            "such as 'painting': task 'paint', attempt 1, due since" in executor.cause
        )
        assert executor.fix == (
            "`sayiir-es executor run MODULE --tags eu,gpu`, where MODULE has the code "
            "of 'painting'"
        )
        assert "a worker or an executor with the tag 'gpu' to run" in tag.summary
        assert "or `sayiir-es worker run MODULE --tags gpu`" in tag.fix
        groups = await find_trouble(session, Search(), now_ms=time.time_ns() // 10**6)
        assert [(one.kind, one.name, one.count) for one in groups] == [
            ("unplaced", "paint", 1),
            ("untagged", "tagged", 1),
        ]
        findings = await examine(backend)
        told = [one for one in findings if one.check == "executors"]
        assert {one.finding for one in told} == {tag.cause, executor.cause}
        assert all(one.mark is Mark.BAD for one in told)
        assert {one.fix for one in told} == {tag.fix, executor.fix}
        with Executor("e", backend).start(FLOWS):
            for name in ("painting", "tagging"):
                await asyncio.to_thread(client.wait, name, LIMIT_S)
            findings = await examine(backend)
        (told_again,) = [one for one in findings if one.check == "executors"]
        assert told_again.mark is Mark.GOOD
        await session.close()
