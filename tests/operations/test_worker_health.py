"""What a worker's state says of its health: progress, not presence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sayiir_es.engine.attempts.executor_port import ExecutorState
from sayiir_es.engine.definitions.capabilities import Refusal
from sayiir_es.engine.worker_state import (
    OwnerState,
    PartitionPhase,
    PartitionState,
    WorkerState,
)
from sayiir_es.operations.worker_health import (
    HEARTBEAT_AGE_MAX_S,
    LOOP_AGE_MAX_S,
    STUCK_S,
    TURN_AGE_MAX_S,
    Health,
    Sighting,
    judge_life,
    judge_readiness,
)

OWNER = OwnerState(offset=10, next_command=5, turn_age_s=0.3)
SERVED = PartitionState(partition=0, phase="serving", is_assigned=True, owner=OWNER)
STATE = WorkerState(
    assigned=frozenset({0}),
    partitions=(SERVED,),
    has_joined=True,
    is_following=True,
    is_stopping=False,
    heartbeat_age_s=0.5,
    confirmations=3,
    executor=ExecutorState(
        slots=1, running=0, queued=0, input_bytes=0, threads_abandoned=0
    ),
)


def judge(state: WorkerState | None, **stuck: float) -> Health:
    stuck_s = {int(name[1:]): seconds for name, seconds in stuck.items()}
    return judge_readiness(Sighting(at_s=100.0, state=state, stuck_s=stuck_s), 100.5)


def codes(health: Health) -> list[tuple[str, int | None]]:
    return [(problem.code, problem.partition) for problem in health.problems]


def with_partition(partition: PartitionState) -> WorkerState:
    return replace(STATE, partitions=(partition,))


def test_a_worker_that_serves_all_it_is_assigned_is_ready() -> None:
    health = judge(STATE)
    assert health.is_good
    assert (health.assigned, health.served) == ((0,), (0,))


def test_a_worker_without_a_partition_is_ready_and_says_so() -> None:
    health = judge(replace(STATE, assigned=frozenset(), partitions=()))
    assert health.is_good
    assert "no partition" in health.notes[0]


def test_a_worker_that_has_not_joined_is_not_ready() -> None:
    assert codes(judge(None)) == [("starting", None)]
    joining = replace(STATE, has_joined=False, is_following=False)
    assert codes(judge(joining)) == [("starting", None)]


def test_a_worker_that_drains_is_not_ready() -> None:
    assert codes(judge(replace(STATE, is_stopping=True))) == [("draining", None)]


def test_a_worker_that_hears_nothing_of_the_group_any_more_is_not_ready() -> None:
    assert codes(judge(replace(STATE, is_following=False))) == [("crashed", None)]


def test_a_lost_group_is_told() -> None:
    late = replace(STATE, heartbeat_age_s=HEARTBEAT_AGE_MAX_S + 1)
    assert codes(judge(late)) == [("group_lost", None)]
    never = judge(replace(STATE, heartbeat_age_s=float("inf")))
    assert codes(never) == [("group_lost", None)]
    assert "inf" not in never.problems[0].message
    assert judge(replace(STATE, heartbeat_age_s=None)).is_good  # a log without a group


def test_a_partition_that_is_assigned_and_not_supervised_yet_is_not_served() -> None:
    assert codes(judge(replace(STATE, partitions=()))) == [("not_served", 0)]


@pytest.mark.parametrize("phase", ["opening", "claiming"])
def test_a_partition_that_is_taken_over_is_not_served_yet(
    phase: PartitionPhase,
) -> None:
    trouble = Refusal(code="log_unavailable", reason="expected an answer, but none")
    health = judge(with_partition(replace(SERVED, phase=phase, last_trouble=trouble)))
    assert codes(health) == [("not_served", 0)]
    assert "expected an answer, but none" in health.problems[0].message


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("store", "store_failed"),
        ("clock_refused", "refused"),
        ("forged_event", "stopped"),
        ("bug", "stopped"),
    ],
)
def test_a_partition_that_is_given_up_is_told_wherever_it_is(
    code: str, expected: str
) -> None:
    refusal = Refusal(code=code, reason="expected a disk, but it is full")
    for is_assigned in (True, False):
        state = with_partition(
            replace(SERVED, phase="stopped", refusal=refusal, is_assigned=is_assigned)
        )
        assert codes(judge(state)) == [(expected, 0)]


def test_an_owner_whose_loop_does_not_turn_is_stalled() -> None:
    owner = replace(OWNER, turn_age_s=TURN_AGE_MAX_S + 1)
    assert codes(judge(with_partition(replace(SERVED, owner=owner)))) == [
        ("stalled", 0)
    ]


def test_a_partition_of_others_that_is_still_handed_over_is_no_problem() -> None:
    state = replace(
        with_partition(replace(SERVED, is_assigned=False)), assigned=frozenset()
    )
    assert judge(state).is_good


def test_commands_that_wait_and_are_not_decided_are_told() -> None:
    assert judge(STATE, p0=STUCK_S - 1).is_good
    assert codes(judge(STATE, p0=STUCK_S + 1)) == [("commands_stuck", 0)]


def test_a_loop_that_does_not_turn_neither_lives_nor_is_ready() -> None:
    assert judge_life(100.0, 100.0 + LOOP_AGE_MAX_S).is_good
    late_s = 100.0 + LOOP_AGE_MAX_S + 1
    assert codes(judge_life(100.0, late_s)) == [("loop_blocked", None)]
    seen = Sighting(at_s=100.0, state=STATE)
    assert codes(judge_readiness(seen, late_s)) == [("loop_blocked", None)]
