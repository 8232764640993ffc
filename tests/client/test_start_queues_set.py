"""Start queues that are looked at and set while runs wait in them."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es import Flow, InMemoryBackend, Worker, WorkflowClient, aio
from sayiir_es.core.model.errors import WorkflowError

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT = "20s"


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, with a limit."""
    end_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.005)


def echo(value: object) -> object:
    return value


def sleeper(name: str = "importing", **options: Any) -> Any:
    """A workflow that runs until it is told to end."""
    return Flow(name, **options).wait_for_signal("go").then(echo).build()


def submit_in_order(client: WorkflowClient, flow: Any, names: list[str]) -> None:
    """Submit each once the queue knows the one before it; one of them goes on."""
    for number, name in enumerate(names):
        client.submit(flow, name, name)
        until(partial(stands, client, number))


def stands(client: WorkflowClient, waiting: int) -> bool:
    queue = client.get_limit("importing", of="runs")
    return (queue.in_use, queue.queued) == (1, waiting)


def test_a_queue_says_who_runs_and_waits_and_lets_more_go_on_once_it_is_set() -> None:
    flow = sleeper(max_running=1, queue_length=50)
    backend = InMemoryBackend()
    client = WorkflowClient(backend)
    with Worker("w", backend).start([flow]):
        names = [f"i{number}" for number in range(4)]
        submit_in_order(client, flow, names)
        queue = client.get_limit("importing", of="runs")
        assert (queue.of, queue.key, queue.workflow) == (
            "runs",
            "importing",
            "importing",
        )
        assert (queue.in_use, queue.max_running) == (1, 1)
        assert (queue.queued, queue.queue_length) == (3, 50)
        assert (queue.is_set, queue.max_concurrency, queue.rate) == (False, None, None)
        assert [one.instance_id for one in queue.holders] == names[:1]
        assert [one.instance_id for one in queue.waiting] == names[1:]
        since = [one.since for one in (*queue.holders, *queue.waiting)]
        assert since == sorted(since)
        assert since[0] > 1_700_000_000_000
        assert [(one.of, one.key) for one in client.limits().limits] == [
            ("runs", "importing")
        ]
        assert client.status("i1").waiting_for.startswith(
            "a place of workflow 'importing' (1 "
        )
        shown = client.set_limit(
            "importing", of="runs", max_running=3, reason="a night", set_by="ana"
        )
        assert (shown.max_running, shown.queue_length) == (3, 50)
        assert (shown.is_set, shown.set_max_running, shown.set_queue_length) == (
            True,
            3,
            None,
        )
        assert (shown.set_by, shown.reason) == ("ana", "a night")
        until(lambda: client.count(status="awaiting_signal") == 3)
        assert client.get_limit("importing", of="runs").in_use == 3
        client.set_limit("importing", of="runs", max_running=0, queue_length=0)
        for name in names[:3]:
            client.send_signal(name, "go", 1)
            assert client.wait(name, timeout=WAIT).status == "completed"
        client.submit(flow, "refused", 1)
        refused = client.wait("refused", timeout=WAIT)
        assert refused.error_type == "queue_full"
        assert refused.error is not None
        assert refused.error.startswith("expected at most 0 runs of ")
        until(lambda: client.get_limit("importing", of="runs").in_use == 0)
        assert client.get_limit("importing", of="runs").queued == 1
        again = client.set_limit("importing", of="runs")
        assert (again.is_set, again.max_running, again.queue_length) == (False, 1, 50)
        client.send_signal(names[3], "go", 1)
        client.wait(names[3], timeout=WAIT)
        until(lambda: not client.limits().limits)


def test_a_key_names_a_queue_or_a_limit_and_neither_the_other() -> None:
    backend = InMemoryBackend()
    client = WorkflowClient(backend)
    keys = ("a", "b", "$queue/a", "$limit/b")
    with Worker("w", backend).start([sleeper()]):
        for key in keys:
            client.set_limit(key, max_concurrency=7)
        for key in keys:
            assert not client.get_limit(key, of="runs").is_set
            client.set_limit(key, of="runs", max_running=9)
        for key in keys:
            assert client.get_limit(key).set_max_concurrency == 7
            assert client.get_limit(key, of="runs").set_max_running == 9
        expected = [(of, key) for of in ("attempts", "runs") for key in sorted(keys)]
        for size in range(1, 10):
            found, after = list[tuple[str, str]](), None
            while True:
                page = client.limits(limit=size, after=after)
                found += [(one.of, one.key) for one in page.limits]
                assert 0 < len(page.limits) <= size
                after = page.next_after
                if after is None:
                    break
            assert found == expected
        runs = client.limits(of="runs")
        assert [(one.of, one.key) for one in runs.limits] == expected[4:]
        attempts = client.limits(of="attempts")
        assert [(one.of, one.key) for one in attempts.limits] == expected[:4]
        assert attempts.next_after is None


def test_each_key_of_a_queue_is_set_by_itself() -> None:
    flow = sleeper("sync/all", max_running=1, queue_key="t{workflow_input.tenant}")
    backend = InMemoryBackend()
    client = WorkflowClient(backend)
    with Worker("w", backend).start([flow]):
        for tenant in (1, 2):
            for number in range(3):
                client.submit(flow, f"{tenant}-{number}", {"tenant": tenant})
        until(lambda: client.count(waiting_for="start") == 4)
        first, second = (one.key for one in client.limits(of="runs").limits)
        assert (first, second) == ("sync%2Fall/t1", "sync%2Fall/t2")
        client.set_limit(second, of="runs", max_running=3)
        until(lambda: client.get_limit(second, of="runs").in_use == 3)
        other = client.get_limit(first, of="runs")
        assert (other.workflow, other.in_use, other.queued) == ("sync/all", 1, 2)
        assert not other.is_set


async def test_queues_are_set_by_coroutines_and_told_without_a_worker() -> None:
    backend = InMemoryBackend()
    async with aio.WorkflowClient(backend) as client:
        await client.submit(sleeper(max_running=1), "i", 1)
        await client.set_limit("importing", of="runs", queue_length=2)
        queue = await client.get_limit("importing", of="runs")
        assert (queue.set_max_running, queue.set_queue_length) == (None, 2)
        nobodys = await client.get_limit("other", of="runs")
        assert (nobodys.in_use, nobodys.max_running) == (0, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": ""}, "expected a key of 1 to 240 bytes, but 0"),
        ({"key": "k" * 241}, "expected a key of 1 to 240 bytes, but 241"),
        ({"max_running": -1}, "max_running between 0 and 100000, but -1"),
        ({"queue_length": -1}, "queue_length between 0 and 100000000, but -1"),
        ({"max_concurrency": 1}, "max_concurrency and rate of a limit of attempts, "),
        ({"rate": "1/s"}, "max_concurrency and rate of a limit of attempts, but of r"),
        ({"of": "attempts", "max_running": 1}, "queue_length of a limit of runs, but"),
        ({"of": "nodes"}, "expected a limit of attempts or runs, but of 'nodes'"),
    ],
)
def test_what_is_no_queue_is_refused(options: dict[str, object], message: str) -> None:
    client = WorkflowClient(InMemoryBackend())
    key, of = str(options.pop("key", "k")), options.pop("of", "runs")
    with pytest.raises((ValueError, WorkflowError), match=message):
        client.set_limit(key, of=of, **options)  # type: ignore[arg-type]  # tested


def test_a_page_begins_where_another_ends_and_nowhere_else() -> None:
    client = WorkflowClient(InMemoryBackend())
    with pytest.raises(ValueError, match="expected `next_after` of a page, but 'k'"):
        client.limits(after="k")
