"""I26: a history in which more runs go on than may, or out of turn, is found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import pytest

from sayiir_es.audit.rules.start_queues import StartQueueRules
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.graph.start_queue import StartQueue
from sayiir_es.core.model.commands import AnswerRunPermit
from sayiir_es.core.model.events import Event, PartitionClaimed, WorkflowFailed
from sayiir_es.core.model.inputs import MessageSent
from sayiir_es.core.model.permit_events import LimitSet
from sayiir_es.core.model.run_permit_events import (
    RunPermitAsked,
    RunPermitEvent,
    RunPermitGranted,
    RunPermitMessageSent,
    RunPermitQueued,
    RunPermitRefused,
    RunPermitReturned,
    RunPermitTaken,
    queue_id,
)
from tests.audit.mutations import History
from tests.core.instance_runner import InstanceRunner

GRAPH = Graph(
    name="w",
    chain=(TaskNode(id="a"), TaskNode(id="b")),
    start_queue=StartQueue(max_running=1, length=5),
)


def answer(*, granted: bool = True, ask: int = 2) -> AnswerRunPermit:
    return AnswerRunPermit(
        instance_id="i", command_id=f"g{ask}", key="w", ask=ask, granted=granted
    )


def send_all(runner: InstanceRunner) -> None:
    for key in [key for key in runner.rows.rows if key[0] == "Q"]:
        runner.decide(
            MessageSent(instance_id="i", what="run_permit", name=key, secret="")
        )


@pytest.fixture
def permitted() -> History:
    runner = InstanceRunner(graph=GRAPH)
    runner.start()
    send_all(runner)
    runner.command(answer())
    runner.run()
    send_all(runner)
    return History.of(runner)


def test_a_run_that_has_no_permit_is_found(permitted: History) -> None:
    at, opened = permitted.at("RunPermitTaken"), permitted.at("PositionUpdated")
    taken = permitted.events[at].body
    assert isinstance(taken, RunPermitTaken)
    permitted.changed(at, replace(taken, ask=1)).must_break("I26", opened)
    permitted.changed(at, replace(taken, key="v")).must_break("I26", opened)


def test_a_run_that_does_not_ask_is_found(permitted: History) -> None:
    at = permitted.at("RunPermitAsked")
    permitted.dropped(at).must_break("I26", at)
    asked = permitted.events[at].body
    assert isinstance(asked, RunPermitAsked)
    for wrong in (
        replace(asked, holder="j"),
        replace(asked, key="v"),
        replace(asked, key="w/x"),
        replace(asked, limit=2),
        replace(asked, queue_length=6),
        replace(asked, again=True),
    ):
        permitted.changed(at, wrong).must_break("I26", at)
    permitted.added(at + 1, asked).must_break("I26", at + 1)


def test_a_permit_that_is_taken_twice_or_by_another_is_found(
    permitted: History,
) -> None:
    at = permitted.at("RunPermitTaken")
    taken = permitted.events[at].body
    assert isinstance(taken, RunPermitTaken)
    permitted.changed(at, replace(taken, holder="j")).must_break("I26", at)
    permitted.added(at + 1, taken).must_break("I26", at + 1)


def test_a_permit_that_is_returned_while_the_run_goes_on_is_found(
    permitted: History,
) -> None:
    at = permitted.at("TaskCompleted")
    sent = RunPermitMessageSent(message="return", other="w", ask=2)
    cause = f"owed:{permitted.events[at].sequence - 1}"
    permitted.added(at, sent, cause=cause).must_break("I26", at)
    granted = replace(sent, message="grant")
    permitted.added(at, granted, cause=cause).must_break("I26", at)


def test_a_run_that_is_refused_though_it_goes_on_is_found(permitted: History) -> None:
    failed = WorkflowFailed(path="", error_type="queue_full", error="full")
    at = permitted.at("TaskCompleted")
    permitted.added(at, failed).must_break("I26", at)
    unreadable = replace(failed, error_type="unreadable_key")
    permitted.added(at, unreadable).must_break("I26", at)


def test_a_refusal_that_no_command_brought_is_found() -> None:
    runner = InstanceRunner(graph=GRAPH)
    runner.start()
    runner.command(answer(granted=False))
    refused_run = History.of(runner)
    at = refused_run.at("WorkflowFailed")
    cause = f"owed:{refused_run.events[at].sequence - 1}"
    refused_run.changed(at, cause=cause).must_break("I26", at)


def test_a_key_that_cannot_be_made_fails_the_run_at_once() -> None:
    keyed = replace(
        GRAPH, start_queue=StartQueue(max_running=1, key="{workflow_input.tenant}")
    )
    runner = InstanceRunner(graph=keyed)
    runner.start()
    assert runner.kinds() == ["WorkflowStarted", "WorkflowFailed"]
    History.of(runner)


def boom(*given: object) -> str:
    del given
    return "Boom"


def test_a_run_that_fails_with_its_permit_breaks_nothing() -> None:
    runner = InstanceRunner(graph=GRAPH, tasks={"a": boom})
    runner.start()
    runner.command(answer())
    (owed,) = runner.owed()
    runner.finish(owed)
    assert runner.header.phase == "failed"
    send_all(runner)
    History.of(runner)


# --- at the start queue ---------------------------------------------------------------


def queued(holder: str, limit: int = 1) -> RunPermitQueued:
    return RunPermitQueued(holder=holder, ask=2, limit=limit)


def granted(holder: str, limit: int = 1) -> RunPermitGranted:
    return RunPermitGranted(holder=holder, ask=2, limit=limit)


def refused(holder: str, length: int = 1) -> RunPermitRefused:
    return RunPermitRefused(holder=holder, ask=2, limit=1, queue_length=length)


def returned(holder: str) -> RunPermitReturned:
    return RunPermitReturned(holder=holder, ask=2)


def number_set(
    *, most: int | None = None, length: int | None = None, rate: str | None = None
) -> LimitSet:
    return LimitSet(
        command_id="c",
        max_concurrency=None,
        rate=rate,
        reason=None,
        requested_by=None,
        max_running=most,
        queue_length=length,
    )


@dataclass(frozen=True)
class TimerDue:
    """An event that a timer caused."""

    body: RunPermitEvent
    cause: str = "timer:@1"


Decided: TypeAlias = RunPermitEvent | LimitSet | TimerDue


def sent(message: str, holder: str) -> RunPermitMessageSent:
    return RunPermitMessageSent(
        message=message,  # type: ignore[arg-type]  # a kind of message
        other=holder,
        ask=2,
    )


CLEAN = (
    granted("a"),
    sent("grant", "a"),
    queued("b"),
    queued("c"),
    refused("d"),
    sent("refusal", "d"),
    returned("b"),
    (returned("a"), granted("c")),
    returned("c"),
    granted("a"),
    queued("b"),
    (queued("c", 3), granted("b", 3), granted("c", 3)),
    number_set(most=1, length=1),
    returned("a"),
    returned("b"),
    queued("d", 3),
    refused("e"),
    (number_set(most=2), granted("d")),
    queued("e", 3),
    queued("f", 3),
    number_set(),
    TimerDue(granted("e", 3)),
    (returned("c"), granted("f", 3)),
)


def check(*decisions: Decided | tuple[Decided, ...]) -> None:
    """Hold the history of one start queue to its rules."""
    rules, sequence = StartQueueRules(), 0
    for decision in decisions:
        bodies = decision if isinstance(decision, tuple) else (decision,)
        for number, body in enumerate(bodies):
            sequence += 1
            if isinstance(body, TimerDue):
                event = replace(event_of(body.body, sequence), cause=body.cause)
            else:
                event = event_of(body, sequence)
            rules.check(event, begins=not number)


def event_of(body: RunPermitEvent | LimitSet, sequence: int) -> Event:
    return Event(
        claim=0,
        instance_id=queue_id("w"),
        run=0,
        sequence=sequence,
        at=1,
        cause="",
        body=body,
    )


def test_a_clean_history_of_a_start_queue_breaks_nothing() -> None:
    check(*CLEAN)


@pytest.mark.parametrize(
    "history",
    [
        (granted("a"), granted("b")),
        (queued("a"),),
        (granted("a"), granted("a", 5)),
        (granted("a"), queued("b"), queued("b")),
        (granted("a"), queued("b"), granted("c", 5)),
        (granted("a"), queued("b"), queued("c"), (returned("a"), granted("c"))),
        (granted("a"), queued("b"), (returned("a"), granted("b"), granted("c"))),
        (granted("a"), returned("a"), returned("a")),
        (returned("a"),),
        (granted("a"), queued("b"), (returned("a"), granted("b", 2))),
        (granted("a"), (queued("b"), granted("b"))),
        (refused("a"),),
        (granted("a"), refused("b")),
        (granted("a"), queued("b"), refused("c", 2)),
        (granted("a"), queued("b"), refused("b")),
        (granted("a"), sent("grant", "b")),
        (granted("a"), sent("grant", "a"), sent("grant", "a")),
        (granted("a"), returned("a"), sent("grant", "a")),
        (granted("a"), sent("refusal", "a")),
        (number_set(rate="1/s"),),
        (number_set(most=0), granted("a")),
        (number_set(most=2), granted("a"), queued("b")),
        (number_set(most=2), granted("a"), granted("b"), granted("c")),
        (granted("a"), number_set(length=0), refused("b", 1)),
        (granted("a"), number_set(most=2), refused("b", 0)),
        (granted("a"), queued("b"), number_set(most=1), TimerDue(granted("b"))),
        (granted("a"), queued("b"), number_set(most=2), TimerDue(granted("c"))),
        (granted("a"), number_set(most=2), TimerDue(granted("b"))),
    ],
)
def test_a_start_queue_that_is_not_kept_is_found(
    history: tuple[Decided | tuple[Decided, ...], ...],
) -> None:
    with pytest.raises(BreachError) as breach:
        check(*history)
    assert breach.value.invariant == "I26"


def test_a_timer_of_a_start_queue_that_is_not_due_is_found() -> None:
    early = TimerDue(granted("b"), cause="timer:@2")
    with pytest.raises(BreachError) as breach:
        check(granted("a"), queued("b"), number_set(most=2), early)
    assert breach.value.invariant == "I10"


def test_what_is_no_event_of_a_start_queue_is_found() -> None:
    claimed = PartitionClaimed(owner="w", build="b", next_command=0)
    alien = replace(event_of(granted("a"), 1), body=claimed)
    for event, invariant in (
        (alien, "I5"),
        (event_of(granted("a"), 2), "I1"),
        (event_of(granted("a"), 0), "I1"),
        (replace(event_of(granted("a"), 1), run=1), "I7"),
    ):
        with pytest.raises(BreachError) as breach:
            StartQueueRules().check(event, begins=True)
        assert breach.value.invariant == invariant
