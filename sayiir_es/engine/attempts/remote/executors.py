"""The executors elsewhere that this process knows: what they run, and their credits.

Theory of operation. An executor says to the owner of each partition how many attempts
it takes from it: that is its *credit* there, and every attempt that it is given takes
one. A later offer replaces the earlier one. One process owns many partitions, so it
counts beside that what an executor has of all of them, and gives it no more than one
and a half times its slots. Executors that say the same of what they can run are one
*fleet*: what matches is asked once for each fleet.

An executor that is not heard of for its time to live is forgotten, and so is one that
stops. There is a bound on all of it: what an executor says is no truth.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sayiir_es.engine.clock import Clock
    from sayiir_es.engine.definitions.job import Job
    from sayiir_es.wire.executor_requests import OfferSlots

logger = get_logger(__name__)

EXECUTORS_MAX = 10_000
"""How many executors are known at a time; an offer of another one is not heard."""

FLEETS_MAX = 1_000
"""How many different announcements are known at a time."""

TASKS_MAX = 10_000
"""How many graphs and tasks an executor may name."""

MATCHES_MAX = 10_000
"""How many answers a fleet remembers."""

TTL_MAX_S = 300.0
"""An offer stands no longer, whatever it says."""

AVOIDED_MAX = 64
AVOID_FIRST_S, AVOID_MOST_S = 0.2, 60.0
"""What an executor hands back it is not given again for so long, each time longer."""


FleetKey: TypeAlias = tuple[frozenset[str], frozenset[str], frozenset[str], bool]
"""Tags, graphs, tasks, and whether its executors take only what is foreign."""


@dataclass(slots=True, eq=False)
class Fleet:
    """Executors that can run the same."""

    tags: frozenset[str]
    graphs: frozenset[str]
    tasks: frozenset[str]
    only_foreign: bool = False
    """They are workers: they take what the owner's process cannot run, and with slots
    that are idle what it has had no slot for."""
    members: int = 0
    _matches: dict[Job, bool] = field(default_factory=dict["Job", bool])

    @property
    def key(self) -> FleetKey:
        """What its executors say of themselves."""
        return self.tags, self.graphs, self.tasks, self.only_foreign

    def runs(self, job: Job) -> bool:
        """Whether its executors have the code and the tags of a task."""
        known = self._matches.get(job)
        if known is None:
            if len(self._matches) >= MATCHES_MAX:
                self._matches.clear()
            known = self.has_code(job) and self.tags.issuperset(job.node.tags)
            self._matches[job] = known
        return known

    def has_code(self, job: Job) -> bool:
        """Whether its executors have the code of a task, whatever its tags."""
        return job.graph.digest in self.graphs or job.name in self.tasks


@dataclass(slots=True)
class Overflow:
    """How many attempts a worker takes that the process of their owner could run.

    Attributes:
        slots: Those that run in the worker's own process.
        processes: Those that run in processes of theirs.
    """

    slots: int
    processes: int

    def has_room(self, *, in_process: bool) -> bool:
        """Whether it takes one more."""
        return (self.processes if in_process else self.slots) > 0

    def take(self, *, in_process: bool) -> None:
        """It is given one more."""
        if in_process:
            self.processes = max(0, self.processes - 1)
        else:
            self.slots = max(0, self.slots - 1)


NO_OVERFLOW = Overflow(0, 0)


@dataclass(slots=True, eq=False)
class RemoteExecutor:
    """One executor elsewhere, as this process knows it.

    Attributes:
        id: Its name, the key of its records on the attempts topic.
        slots: How many attempts it runs at a time.
        in_flight: How many it has from this process.
        credits: By partition, how many more it takes from its owner.
        overflow: By partition, what of it the owner's process could run.
        until_s: When it is forgotten, by the process's clock.
        is_stopping: It takes nothing any more.
    """

    id: str
    fleet: Fleet
    slots: int
    until_s: float
    in_flight: int = 0
    credits: dict[int, int] = field(default_factory=dict[int, int])
    overflow: dict[int, Overflow] = field(default_factory=dict[int, Overflow])
    is_stopping: bool = False
    _avoided: dict[Job, tuple[float, float]] = field(
        default_factory=dict["Job", tuple[float, float]]
    )

    @property
    def most(self) -> int:
        """How many attempts it may have from this process."""
        return self.slots + self.slots // 2

    def takes(
        self,
        job: Job,
        partition: int,
        now_s: float,
        *,
        is_foreign: bool,
        is_overdue: bool = False,
        in_process: bool = False,
    ) -> bool:
        """Whether it takes an attempt of a partition now.

        `is_foreign`: the owner's process cannot run it. `is_overdue`: it could, but has
        had no slot for it. `in_process`: it runs in a process of its own.
        """
        overflow = self.overflow.get(partition, NO_OVERFLOW)
        return (
            self.has_room(partition, now_s)
            and (
                is_foreign
                or not self.fleet.only_foreign
                or (is_overdue and overflow.has_room(in_process=in_process))
            )
            and self.fleet.runs(job)
            and self._avoided.get(job, (0.0, 0.0))[0] <= now_s
        )

    def has_room(self, partition: int, now_s: float) -> bool:
        """Whether it takes anything more of a partition now."""
        return (
            not self.is_stopping
            and self.in_flight < self.most
            and self.credits.get(partition, 0) > 0
            and now_s < self.until_s
        )

    def take(self, partition: int, *, in_process: bool) -> None:
        """Give it an attempt."""
        self.in_flight += 1
        self.credits[partition] = self.credits.get(partition, 0) - 1
        overflow = self.overflow.get(partition)
        if overflow is not None:  # whatever it is given takes one of its idle slots
            overflow.take(in_process=in_process)

    def avoid(self, job: Job, now_s: float) -> float:
        """It handed such an attempt back; returns for how many seconds it gets none."""
        _, pause_s = self._avoided.get(job, (0.0, AVOID_FIRST_S / 2))
        if len(self._avoided) >= AVOIDED_MAX and job not in self._avoided:
            del self._avoided[next(iter(self._avoided))]
        pause_s = min(2 * pause_s, AVOID_MOST_S)
        self._avoided[job] = (now_s + pause_s, pause_s)
        return pause_s

    def ran(self, job: Job) -> None:
        """It told an outcome of such an attempt."""
        self._avoided.pop(job, None)


class ExecutorTable:
    """The executors elsewhere that have offered slots to this process."""

    def __init__(
        self,
        clock: Clock,
        partition_of: Callable[[str], int],
        *,
        own_id: str | None = None,
    ) -> None:
        """`partition_of` says on which partition of the attempts an executor reads.

        Offers of `own_id` are of this process, which has its slots without them.
        """
        self._clock = clock
        self._own_id = own_id
        self.partition_of = partition_of
        self._executors: dict[str, RemoteExecutor] = {}
        """By id, the one that was not heard of for the longest time first."""
        self._fleets: dict[FleetKey, Fleet] = {}
        self._lenders: dict[str, RemoteExecutor] = {}
        self._ready: dict[int, dict[str, RemoteExecutor]] = {}
        """By partition, those that may take more; the next one first."""
        self._watchers: set[Callable[[], None]] = set()
        self._was_full = False

    def __len__(self) -> int:
        return len(self._executors)

    def __iter__(self) -> Iterator[RemoteExecutor]:
        return iter(tuple(self._executors.values()))

    def get(self, executor_id: str) -> RemoteExecutor | None:
        """The executor with an id, if it is known."""
        return self._executors.get(executor_id)

    def watch(self, notify: Callable[[], None]) -> None:
        """From now on, call `notify` when there is a fleet that was not there."""
        self._watchers.add(notify)

    def unwatch(self, notify: Callable[[], None]) -> None:
        """Call `notify` no more."""
        self._watchers.discard(notify)

    def is_run(self, job: Job) -> bool:
        """Whether an executor that is known can run a task, now or later."""
        if not self._fleets:
            return False
        self._forget_silent()
        return any(fleet.runs(job) for fleet in self._fleets.values())

    def count_running(self, job: Job, *, is_foreign: bool) -> int:
        """How many executors can run a task, now or later.

        Of a task that this process can run (not `is_foreign`), other workers do not
        count: they take it only while they are idle.
        """
        self._forget_silent()
        return sum(
            one.members
            for one in self._fleets.values()
            if one.runs(job) and (is_foreign or not one.only_foreign)
        )

    def why_not_run(self, job: Job) -> str:
        """Why no executor that is known runs a task of executors only, in words.

        Workers that take attempts of others are none.
        """
        self._forget_silent()
        fleets = [one for one in self._fleets.values() if not one.only_foreign]
        if not fleets:
            return "none is there"
        with_code = [one for one in fleets if one.has_code(job)]
        if not with_code:
            known = sum(one.members for one in fleets)
            return f"of the {known} that are known none offers to run it"
        tags = set(job.node.tags)
        missing = min((tags - one.tags for one in with_code), key=len)
        count = sum(one.members for one in with_code)
        word = "tag" if len(missing) == 1 else "tags"
        return (
            f"of the {count} that offer to run it none has the {word} "
            f"{', '.join(map(repr, sorted(missing)))}"
        )

    def offer(self, partition: int, offer: OfferSlots) -> RemoteExecutor | None:
        """Take an offer to the owner of a partition; None where it is not heard."""
        if offer.executor == self._own_id:
            return None
        self._forget_silent()
        known = self._executors.pop(offer.executor, None)
        key = (
            frozenset(offer.tags),
            frozenset(offer.graphs),
            frozenset(offer.tasks),
            offer.only_foreign,
        )
        if known is None and self._is_full(offer):
            return None
        if known is None or known.fleet.key != key:
            fleet = self._join(key)
            if known is not None:
                self._leave(known.fleet)
                known.fleet = fleet
        else:
            fleet = known.fleet
        ttl_s = min(offer.ttl_ms / 1000, TTL_MAX_S)
        until_s = self._clock.monotonic_s() + ttl_s
        executor = known or RemoteExecutor(offer.executor, fleet, offer.slots, until_s)
        executor.slots, executor.until_s = max(1, offer.slots), until_s
        executor.is_stopping = offer.stopping
        executor.credits[partition] = 0 if offer.stopping else offer.free
        if offer.overflow or offer.overflow_processes or executor.overflow:
            self._take_overflow(executor, partition, offer)
        self._executors[offer.executor] = executor
        self._make_ready(executor)
        return executor

    def find(
        self, job: Job, partition: int, *, is_foreign: bool
    ) -> RemoteExecutor | None:
        """An executor that takes an attempt of a partition now; each in its turn.

        `is_foreign`: this process cannot run it.
        """
        ready = self._ready.get(partition)
        if not ready:
            return None
        now_s, spent = self._clock.monotonic_s(), list[str]()
        found = None
        for executor in ready.values():
            if executor.takes(job, partition, now_s, is_foreign=is_foreign):
                found = executor
                break
            if not executor.has_room(partition, now_s):
                spent.append(executor.id)
        for executor_id in spent:
            del ready[executor_id]
        if found is not None:  # the next attempt is another one's
            del ready[found.id]
            ready[found.id] = found
        return found

    def _take_overflow(
        self, executor: RemoteExecutor, partition: int, offer: OfferSlots
    ) -> None:
        overflow = Overflow(offer.overflow, offer.overflow_processes)
        executor.overflow[partition] = Overflow(0, 0) if offer.stopping else overflow
        self._lenders.pop(executor.id, None)
        if any(one != NO_OVERFLOW for one in executor.overflow.values()):
            self._lenders[executor.id] = executor

    def lenders(self) -> list[RemoteExecutor]:
        """The workers with slots that are idle."""
        return [*self._lenders.values()]

    def give_back(self, executor: RemoteExecutor) -> None:
        """An executor has an attempt less."""
        had_most = executor.in_flight >= executor.most
        executor.in_flight -= 1
        if had_most:  # else it is ready where it has credit
            self._make_ready(executor)

    def give_credit_back(self, executor: RemoteExecutor, partition: int) -> None:
        """An attempt that was granted to an executor does not go there."""
        executor.credits[partition] = executor.credits.get(partition, 0) + 1
        self._make_ready(executor)

    def _make_ready(self, executor: RemoteExecutor) -> None:
        now_s = self._clock.monotonic_s()
        for partition in executor.credits:
            if executor.has_room(partition, now_s):
                self._ready.setdefault(partition, {})[executor.id] = executor

    def now_s(self) -> float:
        """The time by which offers end."""
        return self._clock.monotonic_s()

    def _is_full(self, offer: OfferSlots) -> bool:
        named = len(offer.graphs) + len(offer.tasks) + len(offer.tags)
        is_full = (
            len(self._executors) >= EXECUTORS_MAX
            or len(self._fleets) >= FLEETS_MAX
            or named > TASKS_MAX
        )
        if is_full and not self._was_full:
            logger.warning(
                "executors.offer_ignored",
                worker=offer.executor,
                reason=f"expected at most {EXECUTORS_MAX} executors of {FLEETS_MAX} "
                f"kinds that name {TASKS_MAX} tasks each, but more",
            )
        self._was_full = is_full
        return is_full

    def _join(self, key: FleetKey) -> Fleet:
        fleet = self._fleets.get(key)
        is_new = fleet is None
        if fleet is None:
            fleet = self._fleets[key] = Fleet(*key)
        fleet.members += 1
        if is_new:
            for notify in tuple(self._watchers):
                notify()
        return fleet

    def _leave(self, fleet: Fleet) -> None:
        fleet.members -= 1
        if not fleet.members:
            self._fleets.pop(fleet.key, None)

    def _forget_silent(self) -> None:
        """Forget whoever was not heard of for its time to live."""
        now_s = self._clock.monotonic_s()
        while self._executors:
            executor = next(iter(self._executors.values()))
            if executor.until_s > now_s:
                return
            del self._executors[executor.id]
            self._lenders.pop(executor.id, None)
            for ready in self._ready.values():
                ready.pop(executor.id, None)
            self._leave(executor.fleet)
