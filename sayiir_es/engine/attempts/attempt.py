"""One attempt at a task: its token, its state, and what it holds while it has a slot.

Theory of operation. From the decision that makes it due to the one that its outcome
leads to, an attempt is one object of its partition's owner. Its state is the only thing
that says where it stands, and only `move` changes it:

    state      means                                            may become
    OWED       a batch in the making hands it out               QUEUED GRANTED WITHDRAWN
    QUEUED     waits for a slot, and holds no input             GRANTED WITHDRAWN
    GRANTED    has a slot; its start may have to be recorded    RUNNING WITHDRAWN
    RUNNING    its function runs                                REPORTED WITHDRAWN
    REPORTED   its outcome waits to be decided                  DECIDED
    DECIDED    the log has acknowledged what became of it
    WITHDRAWN  taken back: nobody wants its outcome any more    REPORTED

A withdrawn attempt can still report: that it is withdrawn, where a cancel or a pause
waits for that; or the late outcome of a thread that nobody could stop, which the log
then rejects. An attempt whose batch never became live is withdrawn, too: what is owed
then is a new object.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypeAlias

from sayiir_es.core.fast_frozen import with_maker
from sayiir_es.core.model.rows import chain_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.model.inputs import DecisionFailed, Outcome
    from sayiir_es.engine.attempts.lease import Lease
    from sayiir_es.engine.definitions.job import Job
    from sayiir_es.engine.definitions.registry import Runnable

Token: TypeAlias = tuple[str, int, str, int]
"""(instance id, run, path, number of the attempt)."""

DEFAULT_PRIORITY = 3
"""Of a task that names none; 1 comes first, 5 last."""


class State(Enum):
    """Where an attempt stands."""

    OWED = "owed"
    QUEUED = "queued"
    GRANTED = "granted"
    RUNNING = "running"
    REPORTED = "reported"
    DECIDED = "decided"
    WITHDRAWN = "withdrawn"

    successors: tuple[State, ...]
    """The row of `TRANSITIONS`; kept here, for an enum's hash is slow."""


TRANSITIONS: dict[State, tuple[State, ...]] = {
    State.OWED: (State.QUEUED, State.GRANTED, State.WITHDRAWN),
    State.QUEUED: (State.GRANTED, State.WITHDRAWN),
    State.GRANTED: (State.RUNNING, State.WITHDRAWN),
    State.RUNNING: (State.REPORTED, State.WITHDRAWN),
    State.REPORTED: (State.DECIDED,),
    State.DECIDED: (),
    State.WITHDRAWN: (State.REPORTED,),
}
for _state, _successors in TRANSITIONS.items():
    _state.successors = _successors


_BEGUN = frozenset({State.GRANTED, State.RUNNING, State.REPORTED})


class AttemptOwner(Protocol):
    """Whom an executor tells about an attempt; always on the event loop."""

    @property
    def partition(self) -> int:
        """Of the instances."""
        ...

    def granted(self, attempt: Attempt) -> None:
        """A queued attempt has its slot now; called once."""
        ...

    def room_freed(self) -> None:
        """An attempt that had no room for its input may have it now."""
        ...

    def reported(self, attempt: Attempt, outcome: Outcome) -> None:
        """It ended; called once for each attempt that was started and not abandoned."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOrigin:
    """Where the span of an attempt belongs.

    Attributes:
        parent: The trace context of its run; None: of none.
        links: Those of the signals that its chain has waited for.
        path: Of its task.
    """

    parent: str | None
    links: tuple[str, ...]
    path: str


@with_maker
@dataclass(slots=True, kw_only=True, eq=False)
class Attempt:
    """One execution of one task.

    Attributes:
        lineage: The run of the start that this run goes on from, after retries.
        number: Which attempt at this execution of the task it is, from 1.
        runnable: The task's function and node; None where this process lacks the code:
            such an attempt can only be reported as withdrawn.
        owner: Told when it has a slot, and when it ended.
        priority: From 1 (first) to 5, of the task.
        queued_at_ms: When it became due, for aging.
        fairness_key: Slots are given in turn to the keys of a priority.
        restart: It may have begun under an owner that is gone: its start is recorded.
        input: The bytes of its input, only from the grant of a slot to the outcome: a
            queued attempt costs its token.
        named: What its function needs by name, as bytes, as long as the input; None:
            nothing.
        deadline_at_ms: When it is timed out, in epoch milliseconds; None if never.
        outcome: What it ended with, from its report on; or why it could not begin.
        outcome_bytes: How many bytes of output that carries.
        offered_s, began_s: When it was due and when it began, by the meter's time.
        started_s: When its function began, by the event loop's clock in seconds.
        earlier: An attempt of the same chain that is still here, for whoever looks the
            chain up.
        trace: Where its span belongs; None where nothing is traced.
        job: What it runs, where an executor elsewhere may; None: only this process may.
        beats: How many heartbeats its function has told.
        lease: That it is, or is to be, with an executor elsewhere; None: it is not.
    """

    instance_id: str
    run: int
    path: str
    number: int
    owner: AttemptOwner
    runnable: Runnable | None = None
    priority: int = DEFAULT_PRIORITY
    queued_at_ms: int = 0
    fairness_key: str = ""
    lineage: int = 1
    restart: bool = False
    input: bytes = b""
    named: Mapping[str, bytes] | None = None
    deadline_at_ms: int | None = None
    outcome: Outcome | DecisionFailed | None = None
    outcome_bytes: int = 0
    offered_s: float = 0.0
    began_s: float = 0.0
    earlier: Attempt | None = None
    started_s: float = 0.0
    trace: TraceOrigin | None = None
    job: Job | None = None
    lease: Lease | None = None
    beats: int = 0
    state: State = State.OWED
    token: Token = field(init=False)
    chain: str = field(init=False)

    def __post_init__(self) -> None:
        self.token = (self.instance_id, self.run, self.path, self.number)
        self.chain = chain_of(self.path)

    @property
    def is_timed(self) -> bool:
        """Whether its task has a time-out."""
        work = self.runnable or self.job
        return work is not None and work.node.timeout_ms is not None

    @property
    def heartbeat_timeout_ms(self) -> int | None:
        """For how long its function may tell no heartbeat; None: for ever."""
        work = self.runnable or self.job
        return None if work is None else work.node.heartbeat_timeout_ms

    @property
    def is_for_here(self) -> bool:
        """Whether it may run in this process."""
        return self.runnable is not None and self.runnable.node.execute == "local"

    @property
    def is_elsewhere(self) -> bool:
        """Whether an executor elsewhere has it."""
        return self.lease is not None and self.state is State.RUNNING

    @property
    def has_begun(self) -> bool:
        """Whether it has a slot, runs, or has ended and is not decided."""
        return self.state in _BEGUN

    def take_beat(self, _details: object) -> None:
        """Its function has told a heartbeat; called on any thread."""
        self.beats += 1

    def move(self, state: State) -> None:
        """Go on to a state that the table allows."""
        assert state in self.state.successors, (self.token, self.state, state)
        self.state = state
