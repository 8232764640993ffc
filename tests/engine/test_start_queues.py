"""Start queues over three partitions of a memory log: who runs, waits, is refused."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es import Flow, task
from sayiir_es.core.model.events import WorkflowFailed
from sayiir_es.core.model.rows import get_cursors, get_header
from sayiir_es.core.model.run_permit_events import queue_id
from sayiir_es.core.model.run_permit_rows import get_state
from sayiir_es.core.status.status import status_of
from sayiir_es.core.status.waits import waited_for
from tests.engine.family import Family, wait_until

if TYPE_CHECKING:
    from sayiir_es.core.authoring.flow import Workflow


def echo(value: object) -> object:
    return value


def sleeper(**options: Any) -> Workflow[Any, Any]:
    """A workflow that runs until it is told to end."""
    return Flow("w", **options).wait_for_signal("go").then(echo).build()


async def start(family: Family, *names: str, tenant: int = 1) -> None:
    for name in names:
        await family.command(
            "StartWorkflow", name, workflow="w", input={"tenant": tenant}
        )


async def go(family: Family, name: str) -> None:
    await family.command("SendSignal", name, signal="go", payload=1)


async def is_running(family: Family, name: str) -> None:
    await family.until_kind("SignalAwaited", name)


def is_in(family: Family, name: str, key: str) -> bool:
    return name in queued(family, key)


def stand_so(family: Family, names: str) -> bool:
    return queued(family) == [*names]


async def is_queued(family: Family, *names: str, key: str = "w") -> None:
    for name in names:
        await wait_until(partial(is_in, family, name, key), 0.002)


def queued(family: Family, key: str = "w") -> list[str]:
    """Who waits, in order."""
    rows, names = family.rows(queue_id(key)), list[str]()
    number = get_state(rows).first
    while number:
        row: Any = rows.get(f"U#{number}")
        names.append(row.holder)
        number = row.after
    return names


async def has_ended(family: Family, name: str, kind: str = "WorkflowCompleted") -> Any:
    events = await family.until_kind(kind, name)
    return events[[event.kind for event in events].index(kind)].body


async def is_empty(family: Family, key: str = "w") -> None:
    """Every permit is back, and nothing is owed."""
    await wait_until(
        lambda: (
            get_state(family.rows(queue_id(key))).in_use == 0
            and not family.owes_messages()
        )
    )
    rows = family.rows(queue_id(key))
    assert {*rows.keys("U")} <= {"U", "U="}
    assert not [*rows.keys("Q")]


async def test_as_many_run_as_may_and_the_others_follow_in_order() -> None:
    async with Family(sleeper(max_running=2)) as family:
        for name in "abcde":
            await start(family, name)
            await family.until_kind("RunPermitMessageSent", name)
        await is_running(family, "a")
        await is_running(family, "b")
        await is_queued(family, "c", "d", "e")
        assert queued(family) == ["c", "d", "e"]
        for ended, follows in zip("bac", "cde", strict=True):
            assert "SignalAwaited" not in await family.kinds(follows)
            await go(family, ended)
            await is_running(family, follows)
            assert get_state(family.rows(queue_id("w"))).in_use == 2
        for name in "de":
            await go(family, name)
            await has_ended(family, name)
        await is_empty(family)
        await family.verify()
        assert await family.kinds("c") == [
            "WorkflowStarted",
            "RunPermitAsked",
            "RunPermitMessageSent",
            "RunPermitTaken",
            "SignalAwaited",
            "SignalReceived",
            "SignalConsumed",
            "PositionUpdated",
            "TaskCompleted",
            "WorkflowCompleted",
            "RunPermitMessageSent",
        ]


async def test_a_run_beyond_the_length_fails_and_can_be_retried() -> None:
    async with Family(sleeper(max_running=1, queue_length=1)) as family:
        await start(family, "a")
        await is_running(family, "a")
        await start(family, "b")
        await is_queued(family, "b")
        await start(family, "c")
        failed = await has_ended(family, "c", "WorkflowFailed")
        assert isinstance(failed, WorkflowFailed)
        assert (failed.path, failed.error_type) == ("", "queue_full")
        assert failed.error == (
            "expected at most 1 runs of workflow 'w' to wait for a place, but as many "
            "wait already"
        )
        await family.command("RetryWorkflow", "c")
        await is_queued(family, "c")  # who tries again waits whatever the length
        for name in "abc":
            await is_running(family, name)
            await go(family, name)
            await has_ended(family, name)
        await is_empty(family)
        await family.verify()


async def test_each_key_has_a_queue_of_its_own() -> None:
    flow = sleeper(max_running=1, queue_key="t{workflow_input.tenant}")
    async with Family(flow) as family:
        await start(family, "a", tenant=1)
        await is_running(family, "a")
        await start(family, "b", tenant=1)
        await start(family, "c", tenant=2)
        await is_running(family, "c")
        await is_queued(family, "b", key="w/t1")
        await family.command("StartWorkflow", "d", workflow="w", input={"tenant": None})
        failed = await has_ended(family, "d", "WorkflowFailed")
        assert (failed.path, failed.error_type) == ("", "unreadable_key")
        for name in "abc":
            await is_running(family, name)
            await go(family, name)
            await has_ended(family, name)
        await is_empty(family, "w/t1")
        await is_empty(family, "w/t2")
        await family.verify()


async def test_who_is_cancelled_leaves_the_queue_wherever_it_stands() -> None:
    async with Family(sleeper(max_running=1)) as family:
        await start(family, "a")
        await is_running(family, "a")
        for name in "bcdef":
            await start(family, name)
            await is_queued(family, name)
        for name, left in (("d", "bcef"), ("b", "cef"), ("f", "ce")):
            await family.command("CancelWorkflow", name)
            cancelled = await has_ended(family, name, "WorkflowCancelled")
            assert cancelled.interrupted_at == ()
            await wait_until(partial(stand_so, family, left))
            assert get_state(family.rows(queue_id("w"))).waiting == len(left)
        await family.command("CancelWorkflow", "a")
        for name in "ce":
            await is_running(family, name)
            await go(family, name)
            await has_ended(family, name)
        await is_empty(family)
        await family.verify()


async def test_a_paused_run_keeps_its_place_in_the_queue_and_its_permit() -> None:
    async with Family(sleeper(max_running=1)) as family:
        await start(family, "a")
        await is_running(family, "a")
        await start(family, "b")
        await is_queued(family, "b")
        await start(family, "c")
        await family.command("PauseWorkflow", "b")
        await family.until_kind("WorkflowPaused", "b")
        await go(family, "a")
        await family.until_kind("RunPermitTaken", "b")
        await is_queued(family, "c")
        assert "SignalAwaited" not in await family.kinds("b")
        await family.command("UnpauseWorkflow", "b")
        await is_running(family, "b")
        await family.command("PauseWorkflow", "b")
        await family.until(lambda kinds: kinds.count("WorkflowPaused") == 2, "b")
        assert queued(family) == ["c"]
        await family.command("UnpauseWorkflow", "b")
        for name in "bc":
            await is_running(family, name)
            await go(family, name)
            await has_ended(family, name)
        await is_empty(family)
        await family.verify()


async def test_a_pause_that_is_taken_back_in_the_queue_changes_nothing() -> None:
    async with Family(sleeper(max_running=1)) as family:
        await start(family, "a")
        await is_running(family, "a")
        await start(family, "b")
        await is_queued(family, "b")
        await family.command("PauseWorkflow", "b")
        await family.until_kind("WorkflowPaused", "b")
        await family.command("UnpauseWorkflow", "b")
        await family.until_kind("WorkflowUnpaused", "b")
        assert queued(family) == ["b"]
        await go(family, "a")
        await is_running(family, "b")
        await go(family, "b")
        await has_ended(family, "b")
        await is_empty(family)
        await family.verify()


async def test_a_retry_waits_for_a_permit_with_all_that_it_had() -> None:
    tries: list[object] = []

    def second(value: object) -> object:
        tries.append(value)
        if len(tries) == 1:
            raise LookupError("not yet")
        return value

    flow = Flow("w", max_running=1).wait_for_signal("go").then(second).build()
    async with Family(flow) as family:
        await start(family, "a", "b")
        await is_running(family, "a")
        await go(family, "a")
        await has_ended(family, "a", "WorkflowFailed")
        await is_running(family, "b")
        await family.command("RetryWorkflow", "a")
        await is_queued(family, "a")
        header = get_header(family.rows("a"))
        assert header is not None
        assert header.queued
        status = status_of(family.rows("a"), "a", flow.graph)
        assert status is not None
        assert status.waiting_for.startswith("a place of workflow 'w' (1 at a time) ")
        await family.command("PauseWorkflow", "a")
        await family.until_kind("WorkflowPaused", "a")
        await family.command("UnpauseWorkflow", "a")
        assert len(tries) == 1
        await go(family, "b")
        await has_ended(family, "a")
        await has_ended(family, "b")
        await is_empty(family)
        await family.verify()


async def test_another_start_under_the_id_gives_the_permit_back() -> None:
    async with Family(sleeper(max_running=1)) as family:
        await start(family, "a")
        await is_running(family, "a")
        await start(family, "b")
        await is_queued(family, "b")
        for name in "ab":
            await family.command(
                "StartWorkflow",
                name,
                workflow="w",
                input={},
                conflict_policy="terminate_existing",
            )
            await has_ended(family, name, "WorkflowTerminated")
        for name in "ab":
            await family.until(lambda kinds: kinds[-1] == "SignalAwaited", name)
            await go(family, name)
            await has_ended(family, name)
        await is_empty(family)
        await family.verify()


async def test_a_fork_waits_for_a_permit_of_its_own() -> None:
    async with Family(sleeper(max_running=1)) as family:
        await start(family, "a")
        await is_running(family, "a")
        events = await family.events("a")
        for number in range(1, len(events) + 1):
            await family.command(
                "ForkWorkflow",
                f"f{number}",
                source_instance_id="a",
                source_sequence=number,
            )
            await is_queued(family, f"f{number}")
        await go(family, "a")
        for number in range(1, len(events) + 1):
            await family.until_kind("RunPermitTaken", f"f{number}")
            await go(family, f"f{number}")
            await has_ended(family, f"f{number}")
        await is_empty(family)
        await family.verify()


async def test_a_fork_of_a_paused_run_waits_too() -> None:
    async with Family(sleeper(max_running=1)) as family:
        await start(family, "a")
        await is_running(family, "a")
        await family.command("PauseWorkflow", "a")
        events = await family.until_kind("WorkflowPaused", "a")
        await family.command(
            "ForkWorkflow", "f", source_instance_id="a", source_sequence=len(events)
        )
        await is_queued(family, "f")
        await family.command("UnpauseWorkflow", "f")
        await family.until_kind("WorkflowUnpaused", "f")
        assert queued(family) == ["f"]
        await family.command("CancelWorkflow", "a")
        await go(family, "f")
        await has_ended(family, "f")
        await is_empty(family)
        await family.verify()


@pytest.mark.parametrize("stop", ["cancel", "time-out"])
async def test_what_a_fork_did_is_undone_though_it_waits(stop: str) -> None:
    undone: list[object] = []

    def undo(value: object) -> None:
        undone.append(value)

    @task(compensate=undo)
    def book(value: object) -> object:
        return value

    timeout = None if stop == "cancel" else "2s"
    flow = Flow("w", max_running=1, timeout=timeout)
    async with Family(flow.then(book).wait_for_signal("go").build()) as family:
        await start(family, "a")
        await is_running(family, "a")
        length = len(await family.events("a"))
        await family.command(
            "ForkWorkflow", "f", source_instance_id="a", source_sequence=length
        )
        await is_queued(family, "f")
        if stop == "cancel":
            await family.command("CancelWorkflow", "f")
        kind = "WorkflowCancelled" if stop == "cancel" else "WorkflowFailed"
        ended = await has_ended(family, "f", kind)
        assert ended.compensated == ("book",)
        await family.command("CancelWorkflow", "a")
        await family.until(
            lambda kinds: bool({"WorkflowCancelled", "WorkflowFailed"} & {*kinds}), "a"
        )
        assert len(undone) == 2
        await is_empty(family)
        await family.verify()


async def test_children_that_are_instances_count() -> None:
    child = sleeper(max_running=1)
    parent = Flow("p").start_child(child, id="{instance_id}.kid").build()
    async with Family(parent) as family:
        for name in ("x", "y"):
            await family.command("StartWorkflow", name, workflow="p", input={})
            await family.until_kind("ChildInstanceSent", name)
        await wait_until(lambda: len(queued(family)) == 1)
        (waiting,) = queued(family)
        await family.command("CancelWorkflow", waiting[0])
        await has_ended(family, waiting, "WorkflowCancelled")
        other = "y.kid" if waiting == "x.kid" else "x.kid"
        await go(family, other)
        await has_ended(family, other[0])
        await is_empty(family)
        await family.verify()


async def test_a_run_may_be_out_of_time_in_the_queue() -> None:
    async with Family(sleeper(max_running=1, timeout="1s")) as family:
        await start(family, "a")
        await is_running(family, "a")
        await start(family, "b")
        failed = await has_ended(family, "b", "WorkflowFailed")
        assert failed.error_type == "timeout"
        await has_ended(family, "a", "WorkflowFailed")
        await is_empty(family)
        await family.verify()


async def test_a_higher_number_counts_for_who_waits_already() -> None:
    low, high = sleeper(max_running=1), sleeper(max_running=3, version="2")
    async with Family(low, high) as family:
        for name in "abcd":
            await family.command(
                "StartWorkflow", name, workflow="w", version="", input={}
            )
            await family.until_kind("RunPermitMessageSent", name)
        await is_queued(family, "b", "c", "d")
        await family.command("StartWorkflow", "e", workflow="w", version="2", input={})
        for name in "bc":
            await is_running(family, name)
        assert queued(family) == ["d", "e"]
        for name in "abcde":
            await go(family, name)
            await has_ended(family, name)
        await is_empty(family)
        await family.verify()


async def test_a_status_says_what_it_waits_for_and_since_when() -> None:
    flow = sleeper(max_running=1)
    async with Family(flow) as family:
        await start(family, "a")
        await is_running(family, "a")
        await start(family, "b")
        await is_queued(family, "b")
        rows = family.rows("b")
        status, header = status_of(rows, "b", flow.graph), get_header(rows)
        assert status is not None
        assert header is not None
        assert status.status == "waiting"
        assert (status.node_id, status.wake_at) == (None, None)
        text, _, since = status.waiting_for.rpartition(" since ")
        assert text == "a place of workflow 'w' (1 at a time)"
        assert since.startswith("20")
        cursors = [cursor for _, cursor in get_cursors(rows)]
        assert waited_for(header, cursors) == ("start:w",)


async def set_queue(family: Family, **numbers: int) -> None:
    await family.command("SetLimit", queue_id("w"), **numbers)


async def is_set(family: Family, times: int) -> None:
    await family.until(lambda kinds: kinds.count("LimitSet") == times, queue_id("w"))


async def test_a_raise_lets_more_go_on_at_once_and_a_fall_stops_nobody() -> None:
    async with Family(sleeper(max_running=1)) as family:
        await start(family, "a")
        await is_running(family, "a")
        for name in "bcdef":
            await start(family, name)
            await is_queued(family, name)
        await set_queue(family, max_running=3)
        for name in "bc":
            await is_running(family, name)
        assert queued(family) == ["d", "e", "f"]
        await set_queue(family, max_running=1)
        await is_set(family, 2)
        for name in "ab":
            await go(family, name)
            await has_ended(family, name)
        await wait_until(lambda: get_state(family.rows(queue_id("w"))).in_use == 1)
        assert queued(family) == ["d", "e", "f"]
        await set_queue(family, max_running=0)
        await is_set(family, 3)
        await go(family, "c")
        await has_ended(family, "c")
        await wait_until(lambda: get_state(family.rows(queue_id("w"))).in_use == 0)
        assert queued(family) == ["d", "e", "f"]
        await set_queue(family)  # as the flow says again
        for name in "def":
            await is_running(family, name)
            await go(family, name)
            await has_ended(family, name)
        await is_empty(family)
        await family.verify()


async def test_a_length_that_is_set_refuses_starts_and_nothing_that_goes_on_again() -> (
    None
):
    async with Family(sleeper(max_running=1, on_full="wait")) as family:
        await start(family, "a")
        await is_running(family, "a")
        await start(family, "b")
        await is_queued(family, "b")
        await set_queue(family, queue_length=1)
        await is_set(family, 1)
        await start(family, "c")
        failed = await has_ended(family, "c", "WorkflowFailed")
        assert failed.error_type == "queue_full"
        assert failed.error.startswith("expected at most 1 runs of workflow 'w'")
        await family.command("RetryWorkflow", "c")
        await is_queued(family, "c")
        await set_queue(family)
        await is_set(family, 2)
        await start(family, "d")
        await is_queued(family, "d")
        for name in "abcd":
            await is_running(family, name)
            await go(family, name)
            await has_ended(family, name)
        await is_empty(family)
        await family.verify()


async def test_what_is_no_number_of_a_start_queue_is_rejected() -> None:
    wrong: tuple[tuple[str, dict[str, Any]], ...] = (
        (queue_id("w"), {"max_running": -1}),
        (queue_id("x"), {"max_running": 100_001}),
        (queue_id("y"), {"queue_length": -1}),
        (queue_id("z"), {"max_concurrency": 1}),
        (queue_id("v"), {"rate": "1/s"}),
        (queue_id("k" * 241), {"max_running": 1}),
        ("a", {"max_running": 1}),
        ("$limit/k", {"max_running": 1}),
        ("$limit/l", {"queue_length": 1}),
    )
    async with Family(sleeper(max_running=1)) as family:
        for instance_id, numbers in wrong:
            await family.command("SetLimit", instance_id, **numbers)
            await family.until_kind("CommandRejected", instance_id)
        await family.verify()


async def test_nobody_else_is_asked_for_a_run_permit() -> None:
    async with Family(sleeper(max_running=1)) as family:
        await start(family, "a")
        await is_running(family, "a")
        ask = {"holder": "a", "ask": 9, "limit": 1}
        await family.command("AskRunPermit", "a", **ask)
        await family.command("ReturnRunPermit", "a", holder="a", ask=2)
        await family.command("CancelWorkflow", queue_id("w"))
        await family.command("AskRunPermit", queue_id("w"), **{**ask, "limit": 0})
        await family.command("AnswerRunPermit", "nobody", key="w", ask=3, granted=True)
        await family.command("AnswerRunPermit", "a", key="w", ask=2, granted=True)
        await family.command("AnswerRunPermit", "a", key="w", ask=77, granted=False)
        events = await family.until(
            lambda kinds: kinds.count("CommandAcknowledged") == 2, "a"
        )
        codes = [e.body.code for e in events if e.kind == "CommandRejected"]
        assert codes == ["bad_request", "bad_request"]
        events = await family.until(
            lambda kinds: kinds.count("CommandRejected") == 2, queue_id("w")
        )
        assert "RunPermitReturned" not in [event.kind for event in events]
        # A permit that nobody asked for goes back at once.
        await family.command("AnswerRunPermit", "a", key="w", ask=77, granted=True)
        await family.until(lambda kinds: kinds.count("RunPermitMessageSent") == 2, "a")
        await go(family, "a")
        await has_ended(family, "a")
        await is_empty(family)
        await family.verify()
