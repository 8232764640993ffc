"""I24: a history in which a limit was exceeded, or a permit made up, is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sayiir_es.audit.rules.limits import LimitRules
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import Concurrency, TaskNode
from sayiir_es.core.model.commands import GrantPermit, RetryWorkflow
from sayiir_es.core.model.events import Event, PartitionClaimed
from sayiir_es.core.model.inputs import PermitReturnSent
from sayiir_es.core.model.permit_events import (
    LimitSet,
    PermitEvent,
    PermitGranted,
    PermitQueued,
    PermitReleased,
    PermitReturned,
    PermitTaken,
    limit_id,
)
from tests.audit.mutations import History
from tests.core.instance_runner import InstanceRunner

LIMITED = TaskNode(id="a", concurrency=Concurrency(key="k", limit=1))
GRAPH = Graph(name="w", chain=(LIMITED, TaskNode(id="b")))


@pytest.fixture
def permitted() -> History:
    runner = InstanceRunner(graph=GRAPH)
    runner.start()
    grant = GrantPermit(
        instance_id="i", command_id="g", key="k", path="a", ask=2, permit=7
    )
    runner.command(grant)
    (owed,) = runner.owed()
    runner.finish(owed)
    runner.decide(PermitReturnSent(instance_id="i", key="k", permit=7))
    runner.run()
    return History.of(runner)


def test_an_attempt_that_had_no_permit_is_found(permitted: History) -> None:
    at, completed = permitted.at("PermitTaken"), permitted.at("TaskCompleted")
    taken = permitted.events[at].body
    assert isinstance(taken, PermitTaken)
    permitted.changed(at, replace(taken, ask=1)).must_break("I24", completed)
    permitted.changed(at, replace(taken, path="b")).must_break("I24", completed)


def test_a_permit_of_another_instance_is_found(permitted: History) -> None:
    for kind in ("PermitTaken", "PermitReleased"):
        at = permitted.at(kind)
        body = permitted.events[at].body
        assert isinstance(body, PermitTaken | PermitReleased)
        permitted.changed(at, replace(body, holder="j")).must_break("I24", at)


def test_a_permit_that_was_never_taken_is_not_released(permitted: History) -> None:
    at = permitted.at("PermitReleased")
    body = permitted.events[at].body
    assert isinstance(body, PermitReleased)
    permitted.changed(at, replace(body, permit=8)).must_break("I24", at)


# --- behind the end of a run ----------------------------------------------------------


def grant(permit: int, ask: int = 2) -> GrantPermit:
    return GrantPermit(
        instance_id="i",
        command_id=f"g{permit}",
        key="k",
        path="a",
        ask=ask,
        permit=permit,
    )


def release(permit: int) -> PermitReturnSent:
    return PermitReturnSent(instance_id="i", key="k", permit=permit)


@pytest.fixture
def failed() -> InstanceRunner:
    """A run that has failed while it had permit 7, which then went back."""

    def fail(data: bytes, attempt: int) -> str:
        del data, attempt
        return "no"

    runner = InstanceRunner(graph=GRAPH, tasks={"a": fail})
    runner.start()
    runner.command(grant(7))
    (owed,) = runner.owed()
    runner.finish(owed)
    assert runner.kinds()[-1] == "WorkflowFailed"
    runner.decide(release(7))
    return runner


def retry(runner: InstanceRunner) -> None:
    runner.command(RetryWorkflow(instance_id="i", command_id="r"))


def test_a_permit_that_came_late_again_goes_back_again(failed: InstanceRunner) -> None:
    retry(failed)
    failed.command(grant(7))
    failed.decide(release(7))
    assert failed.kinds().count("PermitReleased") == 2
    assert History.of(failed).violations() == []


def test_a_permit_taken_behind_an_end_is_released_by_the_next_run(
    failed: InstanceRunner,
) -> None:
    failed.command(grant(8))
    retry(failed)
    failed.decide(release(8))
    assert failed.kinds()[-1] == "PermitReleased"
    assert History.of(failed).violations() == []


def test_what_is_made_up_behind_an_end_is_found(failed: InstanceRunner) -> None:
    failed.command(grant(8))
    history = History.of(failed)
    at, released = history.at("PermitTaken", 1), history.at("PermitReleased")
    body, gone = history.events[at].body, history.events[released].body
    assert isinstance(body, PermitTaken)
    assert isinstance(gone, PermitReleased)
    history.changed(at, replace(body, holder="j")).must_break("I24", at)
    history.changed(released, replace(gone, permit=9)).must_break("I24", released)
    history.changed(released, replace(gone, holder="j")).must_break("I24", released)
    history.changed(at, replace(body, permit=8)).added(at + 1, body).must_break(
        "I24", at + 1
    )


# --- at the limit ---------------------------------------------------------------------


def queued(holder: str, limit: int = 1) -> PermitQueued:
    return PermitQueued(holder=holder, path="a", ask=2, limit=limit)


def granted(holder: str, limit: int = 1) -> PermitGranted:
    return PermitGranted(holder=holder, path="a", ask=2, limit=limit)


def returned(permit: int) -> PermitReturned:
    return PermitReturned(permit=permit)


CLEAN = (
    granted("a"),
    queued("b"),
    queued("c"),
    (returned(1), granted("b")),
    (returned(5), granted("c")),
    returned(7),
    granted("a"),
)


def check(*decisions: PermitEvent | tuple[PermitEvent, ...]) -> None:
    """Hold the history of one limit to its rules."""
    rules, sequence = LimitRules(), 0
    for decision in decisions:
        bodies = decision if isinstance(decision, tuple) else (decision,)
        for number, body in enumerate(bodies):
            sequence += 1
            rules.check(event_of(body, sequence), begins=not number)


def event_of(body: PermitEvent, sequence: int) -> Event:
    return Event(
        claim=0,
        instance_id=limit_id("k"),
        run=0,
        sequence=sequence,
        at=1,
        cause="",
        body=body,
    )


def test_a_clean_history_of_a_limit_breaks_nothing() -> None:
    check(*CLEAN)


@pytest.mark.parametrize(
    "history",
    [
        (granted("a"), granted("b")),
        (queued("a"),),
        (granted("a"), granted("a", 5)),
        (granted("a"), queued("b"), queued("b")),
        (granted("a"), queued("b"), granted("c", 5)),
        (granted("a"), queued("b"), queued("c"), (returned(1), granted("c"))),
        (granted("a"), queued("b"), (returned(1), granted("b"), granted("c"))),
        (granted("a"), returned(1), returned(1)),
        (returned(1),),
        (granted("a", 2), granted("b", 2), (returned(1), granted("c", 2))),
    ],
)
def test_a_limit_that_is_not_kept_is_found(
    history: tuple[PermitEvent | tuple[PermitEvent, ...], ...],
) -> None:
    with pytest.raises(BreachError) as breach:
        check(*history)
    assert breach.value.invariant == "I24"


def rated(holder: str, rate: str | None = "2/s burst 2") -> PermitGranted:
    return PermitGranted(holder=holder, path="a", ask=2, limit=0, rate=rate)


def waiting(holder: str, rate: str | None = "2/s burst 2") -> PermitQueued:
    return PermitQueued(holder=holder, path="a", ask=2, limit=0, rate=rate)


def setting(most: int | None = None, rate: str | None = None) -> LimitSet:
    return LimitSet(
        command_id="s", max_concurrency=most, rate=rate, reason=None, requested_by=None
    )


def check_timed(*decisions: tuple[int, str, PermitEvent]) -> None:
    """Hold decisions of one event, each with its time and cause, to the rules."""
    rules = LimitRules()
    for sequence, (at, cause, body) in enumerate(decisions, 1):
        event = replace(event_of(body, sequence), at=at, cause=cause)
        rules.check(event, begins=True)


def test_a_clean_history_of_rates_and_settings_breaks_nothing() -> None:
    check_timed(
        (1_000, "", rated("a")),
        (1_000, "", rated("b")),
        (1_100, "", waiting("c")),
        (1_500, "timer:@1500", rated("c")),
        (1_500, "", granted("other", 9)),
        (1_600, "", setting(rate="1000/s")),
        (1_602, "", rated("d")),
        (1_700, "", setting(most=4)),
        (1_700, "", queued("e", 9)),
        (1_700, "", setting(most=6)),
        (1_700, "timer:@1700", granted("e", 9)),
    )


@pytest.mark.parametrize(
    ("history", "invariant"),
    [
        ([(0, "", rated("a")), (0, "", rated("b")), (499, "", rated("c"))], "I24"),
        ([(0, "", waiting("a"))], "I24"),
        ([(0, "", setting(most=0)), (0, "", granted("a"))], "I24"),
        (
            [(0, "", setting(rate="1/s")), *((0, "", granted(h, 9)) for h in "ab")],
            "I24",
        ),
        ([(0, "", setting(rate="often"))], "I24"),
        ([(0, "", rated("a", "often"))], "I24"),
        (
            [
                *((0, "", rated(holder)) for holder in "ab"),
                (0, "", waiting("c")),
                (499, "timer:@499", rated("c")),
            ],
            "I24",
        ),
        (
            [
                *((0, "", rated(holder)) for holder in "ab"),
                (0, "", waiting("c")),
                (600, "timer:@601", rated("c")),
            ],
            "I10",
        ),
        (
            [
                *((0, "", rated(holder)) for holder in "ab"),
                (0, "", waiting("c")),
                (600, "timer:@500", rated("c", None)),
            ],
            "I24",
        ),
    ],
)
def test_a_rate_or_a_setting_that_is_not_kept_is_found(
    history: list[tuple[int, str, PermitEvent]], invariant: str
) -> None:
    with pytest.raises(BreachError) as breach:
        check_timed(*history)
    assert breach.value.invariant == invariant


def test_what_is_no_event_of_a_limit_is_found() -> None:
    claimed = PartitionClaimed(owner="w", build="b", next_command=0)
    alien = replace(event_of(granted("a"), 1), body=claimed)
    for event, invariant in (
        (alien, "I5"),
        (event_of(granted("a"), 2), "I1"),
        (event_of(granted("a"), 0), "I1"),
        (replace(event_of(granted("a"), 1), run=1), "I7"),
    ):
        with pytest.raises(BreachError) as breach:
            LimitRules().check(event, begins=True)
        assert breach.value.invariant == invariant
