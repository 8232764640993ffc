"""Whether a worker lives, and whether its partitions are served: by their progress.

Theory of operation. A worker *lives* while its event loop turns. It is *ready* while
all that the group has assigned to it is served and goes on. An owner that has nothing
to do begins a turn of its loop once a second all the same; one that waits for a disk or
a log that does not answer begins none. A worker without a partition is ready: it waits
to be given one.

What is judged was noted on the worker's loop; how old that is tells whether it turns.
So a judgement needs no turn of that loop, and is given by any thread.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sayiir_es.engine.worker_state import PartitionState, WorkerState

LOOP_AGE_MAX_S = 10.0
"""A loop that has not turned for so long serves nobody: a session of the default length
has lapsed by then, and others own its partitions. A shorter time would end workers that
a collection of garbage or a slow machine holds up."""

TURN_AGE_MAX_S = 15.0
"""An owner whose loop has not turned for so long waits for its disk or its log: idle
ones turn once a second, and a slow append takes seconds."""

HEARTBEAT_AGE_MAX_S = 20.0
"""A worker whose heartbeats the group has not answered for so long is no member any
more, or will not be soon: sessions last 6 s by default."""

STUCK_S = 60.0
"""Commands wait, and none was decided for so long: a fork reads its source for as long
at most, and nothing else holds the next command back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a worker is not ready: a code for programs, a sentence for people."""

    code: str
    message: str
    partition: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A judgement; it is good when there is no problem.

    Attributes:
        notes: What is worth saying and is no problem.
    """

    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    assigned: tuple[int, ...] = ()
    served: tuple[int, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A worker as it was seen at some time.

    Attributes:
        at_s: When, by the monotonic clock.
        state: None before it has connected.
        stuck_s: Partitions whose commands wait, and for how long none was decided.
    """

    at_s: float
    state: WorkerState | None = None
    stuck_s: Mapping[int, float] = field(default_factory=dict[int, float])


def judge_life(turned_at_s: float, now_s: float) -> Health:
    """Whether the loop turns, which did so at some time."""
    age_s = now_s - turned_at_s
    if age_s <= LOOP_AGE_MAX_S:
        return Health()
    return Health(
        problems=(
            Problem(
                code="loop_blocked",
                message="expected the event loop to turn, but it has not for "
                f"{age_s:.0f} s: an async task, or a function called by one, blocks it",
            ),
        )
    )


def judge_readiness(seen: Sighting, now_s: float) -> Health:
    """Whether a worker serves all that it is assigned."""
    state = seen.state
    if state is None or not (state.has_joined or state.is_stopping):
        life = judge_life(seen.at_s, now_s)
        starting = Problem(
            code="starting", message="it has not joined the group of its workers yet"
        )
        return Health(problems=(starting, *life.problems))
    problems = [*judge_life(seen.at_s, now_s).problems, *_problems(state)]
    problems += [
        Problem(
            code="commands_stuck",
            message=f"commands wait, and none was decided for {waited_s:.0f} s",
            partition=partition,
        )
        for partition, waited_s in sorted(seen.stuck_s.items())
        if waited_s > STUCK_S
    ]
    is_idle = not state.assigned and not problems
    return Health(
        problems=tuple(problems),
        notes=("no partition is assigned: others serve them all",) if is_idle else (),
        assigned=tuple(sorted(state.assigned)),
        served=served_partitions(state),
    )


def served_partitions(state: WorkerState) -> tuple[int, ...]:
    """The assigned partitions that are served."""
    return tuple(
        one.partition
        for one in state.partitions
        if one.is_assigned and one.phase == "serving"
    )


def _problems(state: WorkerState) -> Iterator[Problem]:
    if state.is_stopping:
        yield Problem(code="draining", message="it lets its attempts end, and ends")
    elif not state.is_following:
        yield Problem(
            code="crashed",
            message="it learns of no change of the group: its log has the bug",
        )
    age_s = state.heartbeat_age_s
    if age_s is not None and age_s > HEARTBEAT_AGE_MAX_S:
        seconds = "" if age_s == float("inf") else f" for {age_s:.0f} s"
        yield Problem(
            code="group_lost",
            message=f"the group has answered no heartbeat{seconds}: the brokers do not "
            "answer, or it is no member",
        )
    supervised = {one.partition for one in state.partitions}
    for partition in sorted(state.assigned - supervised):
        yield Problem(
            code="not_served", message="it is about to be opened", partition=partition
        )
    for one in state.partitions:
        problem = _problem_of(one)
        if problem is not None:
            yield problem


def _problem_of(one: PartitionState) -> Problem | None:
    """Why a partition is not served here, if it should be."""
    if one.refusal is not None:  # also where another worker has it by now
        code = {"store": "store_failed"}.get(one.refusal.code, "stopped")
        return Problem(
            code="refused" if one.refusal.is_own and code != "store_failed" else code,
            message=str(one.refusal),
            partition=one.partition,
        )
    if not one.is_assigned:
        return None
    if one.phase != "serving":
        doing = {"opening": "its store is opened", "claiming": "its events are folded"}
        trouble = one.last_trouble
        why = "" if trouble is None else f"; its last owner here ended: {trouble}"
        return Problem(
            code="not_served",
            message=f"{doing.get(one.phase, 'it has stopped')}{why}",
            partition=one.partition,
        )
    assert one.owner is not None
    if one.owner.turn_age_s > TURN_AGE_MAX_S:
        return Problem(
            code="stalled",
            message=f"its owner waits for the log or the disk for "
            f"{one.owner.turn_age_s:.0f} s",
            partition=one.partition,
        )
    return None
