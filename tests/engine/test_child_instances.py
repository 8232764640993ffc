"""Children that are instances of their own, over three partitions of a memory log."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from sayiir_es.core.authoring.flow import Flow, Workflow
from sayiir_es.core.authoring.loop_result import LoopResult
from sayiir_es.core.model.events import WorkflowCompleted, WorkflowFailed
from tests.engine.family import Family, StoppingLog


def double(value: int) -> int:
    return value * 2


def show(value: object) -> dict[str, object]:
    return {"got": value}


def fails(value: object) -> None:
    raise LookupError(f"not {value}")


def told(caught: dict[str, dict[str, str]]) -> str:
    return f"{caught['error']['type']}: {caught['error']['message']}"


def both(results: dict[str, object]) -> object:
    return results


CHILD = Flow[int]("child").then(double).build()
PARENT = Flow[int]("parent").start_child(CHILD).then(show).build()
SLEEPER = Flow("sleeper").wait_for_signal("wake").build()
FAILING = Flow("failing").then(fails).build()


def output_of(events: list[Any]) -> object:
    ends = [e.body for e in events if isinstance(e.body, WorkflowCompleted)]
    assert len(ends) == 1, events[-1]
    return json.loads(ends[0].output)


async def test_a_parent_goes_on_with_the_output_of_its_child() -> None:
    async with Family(PARENT) as family:
        await family.command("StartWorkflow", workflow="parent", input=4)
        events = await family.until_kind("WorkflowCompleted")
        child = await family.until_kind("ChildEndReported", "i/start_child")
    assert output_of(events) == {"got": 8}
    assert [event.kind for event in events] == [
        "WorkflowStarted",
        "ChildInstanceRequested",
        "ChildInstanceSent",
        "ChildInstanceEnded",
        "PositionUpdated",
        "TaskCompleted",
        "WorkflowCompleted",
    ]
    started = child[0].body
    assert (started.parent, started.parent_run, started.parent_path) == (
        "i",
        1,
        "start_child",
    )
    await family.verify()


async def test_a_child_that_fails_fails_its_node_as_a_task_does() -> None:
    parent = Flow("parent").start_child(FAILING, id="{instance_id}-kid").build()
    async with Family(parent) as family:
        await family.command("StartWorkflow", workflow="parent", input=4)
        events = await family.until_kind("WorkflowFailed")
    failed = events[-1].body
    assert isinstance(failed, WorkflowFailed)
    assert (failed.path, failed.error_type) == ("start_failing", "LookupError")
    assert "not 4" in failed.error
    await family.verify()


@pytest.mark.parametrize("errors", [LookupError, Exception, ()])
async def test_the_failure_of_a_child_is_caught(errors: Any) -> None:
    parent = (
        Flow("parent")
        .attempt(Flow("inner").start_child(FAILING))
        .on_error(told, errors=errors)
        .build()
    )
    async with Family(parent) as family:
        await family.command("StartWorkflow", workflow="parent", input=4)
        events = await family.until_kind("WorkflowCompleted")
    assert output_of(events) == "LookupError: not 4"
    await family.verify()


async def test_a_start_that_is_refused_is_told_to_the_parent() -> None:
    taken = Flow("taken").start_child(CHILD, id="other").build()
    unknown = Flow("unknown").start_child("nobody", id="{instance_id}.{path}").build()
    async with Family(taken, unknown, SLEEPER) as family:
        await family.command("StartWorkflow", "other", workflow="sleeper", input=1)
        await family.until_kind("SignalAwaited", "other")
        await family.command("StartWorkflow", workflow="taken", input=1)
        await family.command("StartWorkflow", "u", workflow="unknown", input=1)
        first = await family.until_kind("WorkflowFailed")
        second = await family.until_kind("WorkflowFailed", "u")
        await family.until_kind("ChildEndReported", "other")
        await family.until_kind("ChildEndReported", "u.start_nobody")
    assert first[-1].body.error_type == "already_exists"
    assert second[-1].body.error_type == "unknown_workflow"
    await family.verify()


async def test_an_id_that_is_too_long_fails_the_node() -> None:
    parent = Flow("parent").start_child(CHILD, id="{instance_id}" * 90).build()
    async with Family(parent) as family:
        await family.command("StartWorkflow", "long", workflow="parent", input=1)
        events = await family.until_kind("WorkflowFailed", "long")
        assert events[-1].body.error_type == "bad_child_id"
        await family.command("RetryWorkflow", "long")
        await family.until(lambda kinds: kinds.count("WorkflowFailed") == 2, "long")
    await family.verify()


async def test_a_parent_that_does_not_wait_goes_on_with_the_id_of_its_child() -> None:
    parent = (
        Flow("parent")
        .start_child(SLEEPER, wait=False, on_parent_end="leave")
        .then(show)
        .build()
    )
    async with Family(parent) as family:
        await family.command("StartWorkflow", workflow="parent", input=1)
        events = await family.until_kind("WorkflowCompleted")
        await family.until_kind("SignalAwaited", "i/start_sleeper")
        await family.until_kind("ChildInstanceSent")
        await family.command("SendSignal", "i/start_sleeper", signal="wake", payload=1)
        await family.until_kind("WorkflowCompleted", "i/start_sleeper")
        assert "ChildEndReported" not in await family.kinds("i/start_sleeper")
    assert output_of(events) == {"got": "i/start_sleeper"}
    await family.verify()


ENDS_BEFORE = [
    ("complete", False),
    *(
        (end, waits)
        for end in ("fail", "cancel", "terminate")
        for waits in (False, True)
    ),
]


@pytest.mark.parametrize(("end", "then"), ENDS_BEFORE)
async def test_the_end_of_a_parent_cancels_the_children_that_are_open(
    end: str, then: str
) -> None:
    branch = Flow("b").start_child(SLEEPER, wait=then == "waits")
    rest = Flow("r").wait_for_signal("go")
    if end == "fail":
        rest = rest.then(fails)
    parent = (
        Flow("parent")
        .fork()
        .branch(branch, name="kid")
        .branch(rest, name="rest")
        .join(both)
        .build()
    )
    async with Family(parent, CHILD) as family:
        await family.command("StartWorkflow", workflow="parent", input=1)
        events = await family.until_kind("ChildInstanceRequested")
        kid = next(
            event.body.child_id
            for event in events
            if event.kind == "ChildInstanceRequested"
        )
        await family.until_kind("SignalAwaited", kid)
        if end == "cancel":
            await family.command("CancelWorkflow")
        elif end == "terminate":
            await family.command(
                "StartWorkflow",
                workflow="child",
                input=2,
                conflict_policy="terminate_existing",
            )
        else:
            await family.command("SendSignal", signal="go", payload=1)
        cancelled = await family.until_kind("WorkflowCancelled", kid)
        await family.until_kind("ChildInstanceEnded")
        await family.until_kind("ChildEndReported", kid)
    assert cancelled[-2].body.requested_by or cancelled[-1].body.requested_by
    await family.verify()


async def test_a_child_that_is_left_outlives_its_parent_and_reports_to_it() -> None:
    parent = Flow("parent").start_child(SLEEPER, on_parent_end="leave").build()
    kid = "i/start_sleeper"
    async with Family(parent) as family:
        await family.command("StartWorkflow", workflow="parent", input=1)
        await family.until_kind("SignalAwaited", kid)
        await family.command("CancelWorkflow")
        await family.until_kind("WorkflowCancelled")
        await family.command("SendSignal", kid, signal="wake", payload=1)
        await family.until_kind("WorkflowCompleted", kid)
        events = await family.until_kind("ChildInstanceEnded")
        assert events[-1].kind == "ChildInstanceEnded"
        assert "ChildCancelSent" not in [event.kind for event in events]
    await family.verify()


async def test_a_retry_starts_the_child_anew_in_the_place_of_the_one_before() -> None:
    tries: Counter[str] = Counter()

    def second_time(value: int) -> int:
        tries["all"] += 1
        if tries["all"] == 1:
            raise ValueError("not yet")
        return value + 1

    child = Flow("child").then(second_time).build()
    parent = Flow("parent").start_child(child).build()
    async with Family(parent) as family:
        await family.command("StartWorkflow", workflow="parent", input=1)
        await family.until_kind("WorkflowFailed")
        await family.command("RetryWorkflow")
        events = await family.until_kind("WorkflowCompleted")
        kid = await family.until(
            lambda kinds: kinds.count("ChildEndReported") == 2, "i/start_child"
        )
    assert output_of(events) == 2
    assert [e.run for e in kid if e.kind == "WorkflowStarted"] == [1, 2]
    await family.verify()


async def test_nobody_reports_the_end_of_a_child_without_its_secret() -> None:
    parent = Flow("parent").start_child(SLEEPER).build()
    forged: dict[str, Any] = {
        "run": 1,
        "path": "start_sleeper",
        "child_id": "i/start_sleeper",
        "child_run": 1,
        "end": "completed",
        "output": "stolen",
    }
    async with Family(parent) as family:
        await family.command("StartWorkflow", workflow="parent", input=1)
        await family.until_kind("SignalAwaited", "i/start_sleeper")
        for secret in ("0" * 32, "é"):
            await family.command("RecordChildEnd", secret=secret, **forged)
        await family.command(
            "RecordChildEnd", **{**forged, "secret": "0" * 32, "child_id": "x"}
        )
        events = await family.until(lambda kinds: kinds.count("CommandRejected") == 3)
        rejected = [e.body for e in events if e.kind == "CommandRejected"]
        assert {body.code for body in rejected} == {"bad_request"}
        await family.command(
            "SendSignal", "i/start_sleeper", signal="wake", payload="mine"
        )
        assert output_of(await family.until_kind("WorkflowCompleted")) == "mine"
    await family.verify()


async def test_a_fork_of_a_parent_has_a_child_of_its_own() -> None:
    parent = Flow("parent").start_child(SLEEPER).then(show).build()
    async with Family(parent) as family:
        await family.command("StartWorkflow", workflow="parent", input=1)
        await family.until_kind("ChildInstanceSent")
        await family.command(
            "ForkWorkflow", "copy", source_instance_id="i", source_sequence=3
        )
        await family.until_kind("ChildInstanceSent", "copy")
        await family.until_kind("SignalAwaited", "copy/start_sleeper")
        await family.command(
            "SendSignal", "copy/start_sleeper", signal="wake", payload="c"
        )
        events = await family.until_kind("WorkflowCompleted", "copy")
        assert output_of(events) == {"got": "c"}
        assert "ChildInstanceEnded" not in await family.kinds("i")
        # A fork of the child is nobody's child.
        await family.until_kind("SignalAwaited", "i/start_sleeper")
        await family.command(
            "ForkWorkflow",
            "stray",
            source_instance_id="i/start_sleeper",
            source_sequence=2,
        )
        await family.until_kind("SignalAwaited", "stray")
        await family.command("SendSignal", "stray", signal="wake", payload="s")
        await family.until_kind("WorkflowCompleted", "stray")
        await family.command(
            "SendSignal", "i/start_sleeper", signal="wake", payload="i"
        )
        assert output_of(await family.until_kind("WorkflowCompleted")) == {"got": "i"}
        assert "ChildEndReported" not in await family.kinds("stray")
    await family.verify()


def more(value: object) -> LoopResult[int]:
    number = int(str(value).rpartition(".")[2]) if isinstance(value, str) else 0
    return LoopResult.done(number) if number >= 3 else LoopResult.again(number + 1)


def numbered(value: int) -> int:
    return value


FAMILY = (
    Flow("family")
    .fork()
    .branch(
        Flow("l").loop(
            Flow("body")
            .start_child(CHILD, id="{instance_id}.{iteration}", wait=False)
            .then(more)
        ),
        name="many",
    )
    .branch(Flow("w").start_child(CHILD, name="waited").then(show), name="one")
    .branch(
        Flow("c").attempt(Flow("in").start_child(FAILING)).on_error(told), name="bad"
    )
    .join(both)
    .build()
)


async def expected(family: Family) -> None:
    """What becomes of the family, whatever was killed on the way."""
    parent = await family.until_kind("WorkflowCompleted")
    assert output_of(parent) == {
        "many": 3,
        "one": {"got": 2},
        "bad": "LookupError: not 1",
    }
    requested = [
        event.body.child_id
        for event in parent
        if event.kind == "ChildInstanceRequested"
    ]
    assert len(requested) == len(set(requested))
    for kid in requested:
        events = await family.until_kind("ChildEndReported", kid)
        kinds = Counter(event.kind for event in events)
        assert kinds["WorkflowStarted"] == kinds["ChildEndReported"] == 1
    ended = await family.until(
        lambda kinds: kinds.count("ChildInstanceEnded") == len(requested)
    )
    # A child that has ended was sent, whether or not that came to be recorded.
    assert Counter(event.kind for event in ended)["ChildInstanceSent"] <= len(requested)
    await family.verify()


async def run_family(workflow: Workflow, log: StoppingLog) -> Family:
    family = Family(workflow, log=log)
    await family.start()
    await family.command("StartWorkflow", workflow="family", input=1)
    return family


@pytest.mark.parametrize("last", ["is lost", "lands unanswered"])
async def test_kills_behind_every_write_start_and_report_each_child_once(
    last: str,
) -> None:
    whole = await run_family(FAMILY, StoppingLog())
    begun = whole.log.writes
    await expected(whole)
    await whole.stop()
    assert whole.log.writes - begun > 20
    for writes in range(whole.log.writes - begun):
        log = StoppingLog()
        log.lands = last != "is lost"
        killed = await run_family(FAMILY, log)
        log.stops_behind = log.writes + writes
        await killed.until_stopped()
        await killed.stop()
        async with Family(FAMILY, log=await log.copy()) as left:
            await expected(left)
