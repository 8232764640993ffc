"""Hands attempts to the executor, and takes their outcomes, for one partition.

Theory of operation. An attempt is *offered* while a batch is made, from the staged
rows: it may be granted a slot then, so that its `DeadlineSet` lands in the same batch.
It starts only after the log acknowledged the batch, and only if the live rows still
want it. What has no slot queues at the executor; when its turn comes, a task with a
time-out first records that it begins. Held back by a requested cancel or pause, an
attempt without a slot comes back at once as *withdrawn*.

What an attempt may become stands in `attempt`. Its input is resolved when it starts.
The queue is bounded: what finds it full stays owed, and is found again through the
store's index of instances that owe something.

Outcomes wait for their decision while the log is slow. Beyond a number of bytes nothing
more is started before the owner comes to it: an attempt that is granted a slot keeps
it, and the slots bound what can still come in.

An outcome that is decided into a batch is kept until the log has acknowledged the
batch. If the append fails, and this process stays the owner, it is decided on again:
what ran does not run twice.

What concerns every attempt, or every branch of an instance, is done in portions, for a
hundred thousand may queue: a drain, the end of a tenure, a hold. None of them starts
meanwhile; one that is granted a slot keeps it until all are withdrawn, or the slot
would pass through all of the queue at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from sayiir_es.core.decide.owed import is_requested
from sayiir_es.core.graph.references import resolve, size_of
from sayiir_es.core.model.commands import MigrateWorkflow
from sayiir_es.core.model.errors import HistoryError
from sayiir_es.core.model.rows import Rows, get_cursor, get_header
from sayiir_es.core.model.waits import Awaiting
from sayiir_es.core.nodes import task
from sayiir_es.engine.attempts.attempt import Attempt, State
from sayiir_es.engine.attempts.attempt_index import AttemptIndex
from sayiir_es.engine.attempts.awaited import (
    begins,
    is_awaited,
    is_displaced,
    is_wanted,
    slot_taken,
)
from sayiir_es.engine.attempts.code_finder import CodeFinder
from sayiir_es.engine.attempts.held_chains import HeldChains
from sayiir_es.engine.attempts.named_values import named_values
from sayiir_es.engine.attempts.outcomes import OutcomeMaker, no_input
from sayiir_es.engine.attempts.portions import finish
from sayiir_es.engine.attempts.remote.leases import Leases
from sayiir_es.engine.attempts.reports import Reports, tell_dropped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sayiir_es.core.decide.owed import OwedAttempt
    from sayiir_es.core.model.commands import Command
    from sayiir_es.core.model.inputs import DecisionFailed, Outcome
    from sayiir_es.engine.attempts.attempt import Token
    from sayiir_es.engine.attempts.batch_port import Batch
    from sayiir_es.engine.attempts.executor_port import Executor
    from sayiir_es.engine.attempts.remote.placement import PlacingExecutor
    from sayiir_es.engine.definitions.registry import Registry
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.engine.worker_settings import OwnerSettings


PORTION = 1_000
"""So many attempts are withdrawn in about 5 ms."""


class Dispatcher:
    """The attempts of one partition that are offered, queued, running or reported."""

    def __init__(  # noqa: PLR0913 (one parameter a part)
        self,
        *,
        executor: Executor,
        registry: Registry,
        store: SnapshotStore,
        settings: OwnerSettings,
        wake: Callable[[], None],
        partition: int = 0,
        elsewhere: PlacingExecutor | None = None,
    ) -> None:
        self.accepting = True
        self.serving = False
        """Whether a claim is in force: without one nothing is started."""
        self.turned_away = False
        """Whether an owed attempt found the queue full, and is to be offered again."""
        self.partition = partition
        self.elsewhere = elsewhere
        self.leases = Leases()
        """What executors elsewhere have, and what must tell heartbeats."""
        self.lost_chains: deque[tuple[str, str]] = deque()
        """Instance and chain of attempts that are lost: to be offered again."""
        self._code = CodeFinder(
            registry, None if elsewhere is None else elsewhere.table
        )
        self._executor = executor
        self._store = store
        self._settings = settings
        self._outcomes = OutcomeMaker(settings.worker_id, settings.limits)
        self._wake = wake
        self.queued = 0
        """How many queue, or will when their batch is live."""
        self._attempts = AttemptIndex()
        self._granted: deque[Attempt] = deque()
        """Have a slot, and wait for the decision that records their start."""
        self.reports = Reports()
        self._maybe_begun: set[Token] = set()
        """Not offered yet, and may have begun under an owner that is gone."""
        self.held = HeldChains()
        self._draining: asyncio.Task[None] | None = None
        self._without_room: list[Attempt] = []
        """Have a slot, and wait for others to end: their inputs are too large."""
        self._has_taken_back = False
        """Whether what queued was taken back for the batch that is made."""
        self._granted_late: list[Attempt] = []
        """Were granted a slot while all attempts are dropped."""

    @property
    def busy(self) -> bool:
        """Whether an attempt is queued or running, or an outcome is to be decided."""
        return bool(self._attempts or self.reports or self.turned_away)

    @property
    def is_busy_here(self) -> bool:
        """The same, but for attempts that executors elsewhere have."""
        elsewhere = self.leases.elsewhere
        return self._attempts.count > elsewhere or bool(self.reports)

    @property
    def is_full(self) -> bool:
        """Whether as many attempts queue as may."""
        return self.queued >= self._settings.queued_attempts_max

    @property
    def has_room(self) -> bool:
        """Whether so much room is in the queue that looking for more is worth it."""
        return self.queued * 2 <= self._settings.queued_attempts_max

    def is_run(self, rows: Rows, path: str) -> bool:
        """Whether an attempt there can begin now: code and tags are somewhere."""
        return self._code.is_run(rows, path)

    def holds(self, instance_id: str) -> bool:
        """Whether an attempt of the instance is queued, runs or has reported here."""
        return self._attempts.holds(instance_id)

    @property
    def has_outcomes(self) -> bool:
        """Whether an outcome is to be decided, or its decision to be acknowledged."""
        return self.reports.is_any

    def drain(self) -> None:
        """Begin nothing further; what does not run stays owed, by whoever owns next."""
        self.accepting = self.turned_away = False
        returning = self._return_queued()
        for _ in returning:  # a first portion at once; mostly that is all
            self._draining = asyncio.create_task(finish(returning), name="drain")
            return

    def _return_queued(self) -> Iterator[None]:
        """Take back what has not started, in portions, unless `resume` ends that."""
        for seen, attempt in enumerate(self._attempts, 1):
            if self.accepting:
                return
            if self.withdraw_queued(attempt):
                self._return(attempt)
            if seen % PORTION == 0:
                yield
        # Behind the queue: a slot that comes free must not start what is in it.
        while self._granted and not self.accepting:
            attempt = self._granted.popleft()
            if attempt.state is State.GRANTED:
                self._take_back(attempt)
                self._return(attempt)
        if not self.accepting:
            self.start_waiting()  # which leaves them to the next owner

    def _return(self, attempt: Attempt) -> None:
        self._attempts.remove(attempt)
        if attempt.restart:
            self._maybe_begun.add(attempt.token)

    def withdraw_running(self) -> int:
        """Take back what runs, and have that recorded; returns how many these were.

        Whoever owns next begins them again, and does not take them for lost.
        """
        running = [a for a in self._executor.running() if a.owner is self]
        for attempt in running:
            self._executor.abandon(attempt, report=False)
            self.report_withdrawn(attempt)
        return len(running)

    def code_added(self) -> None:
        """More can run than before, here or elsewhere: what waits for it is offered."""
        if self._code.lacks_code and self.accepting:
            self._code.lacks_code = False
            self.turned_away = True
            self._wake()

    def resume(self) -> None:
        """Begin attempts again after a drain: all that is owed is offered."""
        self.accepting = self.turned_away = True
        self._wake()

    # --- while a batch is made --------------------------------------------------------

    def will_restart(self, token: Token) -> None:
        """It may have begun elsewhere: so it is restarted, once it takes a slot."""
        self._maybe_begun.add(token)

    def offer(
        self, batch: Batch, instance_id: str, owed: OwedAttempt, *, restart: bool
    ) -> Attempt | None:
        """Offer an owed attempt, unless it is here already or the queue is full.

        Its start is decided into the batch where it is granted a slot at once; where
        the batch has no room for that it keeps the slot, and begins in the next one.
        """
        token = (instance_id, owed.run, owed.path, owed.attempt)
        here = self._attempts.get(token)
        if here is not None and not self._is_displaced(batch, here):
            return None
        if not self.accepting:
            if restart:  # it is offered again, if the drain is taken back
                self._maybe_begun.add(token)
            return None
        attempt = self._code.new_attempt(batch, instance_id, owed, self)
        if attempt is None:
            if restart:
                self._maybe_begun.add(token)
            return None
        # Withdrawn where the source of a fork stood: without an event that it begins,
        # its outcome would count for nothing.
        silent = owed.withdrawn and (not attempt.is_timed or attempt.job is not None)
        attempt.restart = (
            restart or silent or owed.handed_out or token in self._maybe_begun
        )
        if self._executor.reserve(attempt):
            self._attempts.put(attempt)
            begins = attempt.restart or attempt.lease is not None
            begins |= attempt.is_timed and owed.deadline_at is None
            if begins and batch.decide(slot_taken(attempt)) is None:
                self._granted.append(attempt)
                return None
        elif self.is_full:
            if attempt.restart:
                self._maybe_begun.add(token)
            self.turned_away = True
            return None
        else:
            self._attempts.put(attempt)
            self.queued += 1
        return attempt

    def _is_displaced(self, batch: Batch, attempt: Attempt) -> bool:
        """Whether its executor has handed it back, in the batch that is made."""
        wait = task.awaiting(batch.view(attempt.instance_id), attempt.path)
        if not attempt.is_elsewhere or wait is None or not is_displaced(wait, attempt):
            return False
        if self.elsewhere is not None:  # who has it gets it last
            self.elsewhere.returned(attempt, ran=False)
        return True

    @property
    def has_arrived(self) -> bool:
        """Whether an outcome, a slot or a lost attempt is to be decided on."""
        is_granted = self.next_granted is not None
        return is_granted or bool(self.lost_chains) or self.reports.next is not None

    @property
    def next_granted(self) -> Attempt | None:
        """The next attempt that was granted a slot and is to record its start."""
        return self._granted[0] if self._granted and self.accepting else None

    def take_granted(self) -> Attempt:
        """The same, for the batch that is made."""
        return self._granted.popleft()

    def begin(self, batch: Batch, attempt: Attempt) -> bool:
        """Record what must stand before it runs.

        False if nobody wants it any more, or if the batch has no room for it: then it
        is the next again.
        """
        if attempt.state is not State.GRANTED:
            return False  # withdrawn meanwhile
        decision = batch.decide(slot_taken(attempt))
        if decision is None:
            self._granted.appendleft(attempt)
            return False
        rows = batch.view(attempt.instance_id)
        if not decision.events and not is_wanted(rows, attempt):
            self._give_back(rows, attempt)
            return False
        return True

    # --- after the ack, or without it -------------------------------------------------

    def acknowledged(self) -> None:
        """The batch is live: the outcomes in it are decided for good."""
        self._has_taken_back = False
        for attempt in self.reports.decided():
            self._attempts.remove(attempt)
        self.lost_chains += self.reports.take_wanted()

    def dispatch(self, rows: Rows, attempt: Attempt) -> None:
        """Start or queue what a batch offered, if the live rows still want it."""
        if attempt.state is State.WITHDRAWN:
            return  # for another one, of the graph that its instance goes on with
        if not is_wanted(rows, attempt):
            self._give_back(rows, attempt)
        elif not self.accepting:
            self._leave(rows, attempt)
        elif attempt.state is State.GRANTED:
            self._maybe_begun.discard(attempt.token)
            try:
                self._start(rows, attempt)
            except HistoryError as error:
                self._take_back(attempt)
                self.report(attempt, no_input(attempt, error))
        else:
            self._executor.enqueue(attempt)

    def start_waiting(self) -> None:
        """Start what had no room for its input, as far as it has now."""
        if not self._without_room:
            return
        waiting, self._without_room = self._without_room, []
        for attempt in waiting:
            if attempt.state is State.GRANTED:
                self.dispatch(self._store.rows(attempt.instance_id), attempt)

    def undo(self, attempts: list[Attempt]) -> None:
        """The batch never became live: give back its slots, keep its outcomes."""
        self.reports.keep()
        for attempt in attempts:
            if attempt.restart:
                self._maybe_begun.add(attempt.token)
            if attempt.state is State.WITHDRAWN:
                continue
            self._take_back(attempt)
            self._attempts.remove(attempt)
        self.turned_away |= self._has_taken_back
        self._has_taken_back = False

    def running_of(self, command: Command | None) -> frozenset[str]:
        """The paths whose attempts have begun, of an instance that is to migrate."""
        if not isinstance(command, MigrateWorkflow):
            return frozenset()
        attempts = self._attempts.of_chains(command.instance_id, None)
        return frozenset(attempt.path for attempt in attempts if attempt.has_begun)

    def take_back_queued(self, instance_id: str) -> None:
        """Forget what has not begun: it is to be offered with another graph."""
        for attempt in self._attempts.of_chains(instance_id, None):
            if attempt.state is State.OWED:
                self._take_back(attempt)
                self._attempts.remove(attempt)
            elif self.withdraw_queued(attempt):
                self._return(attempt)
                self._has_taken_back = True

    def drop_unwanted(
        self, instance_id: str, rows: Rows, chains: Iterable[str] | None
    ) -> None:
        """Stop what the rows no longer await: timed out, terminated, failed beside.

        Only in the chains that changed, so that a branch among thousands costs the
        same as one alone; None looks at all.
        """
        for attempt in self._attempts.of_chains(instance_id, chains):
            if not is_awaited(rows, attempt):
                self._drop(attempt)

    def _drop(self, attempt: Attempt) -> None:
        match attempt.state:
            case State.RUNNING:
                self.leases.remove(attempt)
                self._executor.abandon(attempt, report=True)
            case State.QUEUED:
                self.withdraw_queued(attempt)
            case State.GRANTED:
                self._take_back(attempt)
            case _:
                return
        self._maybe_begun.discard(attempt.token)
        self._attempts.remove(attempt)

    async def drop_all(self) -> None:
        """The tenure is over for good: cancel what runs, drop every outcome."""
        if self._draining is not None:
            self._draining.cancel()
            self._draining = None
        dropped, self._attempts = self._attempts, AttemptIndex()
        self._maybe_begun = set()
        self.reports = Reports()
        self.leases.clear()
        self.lost_chains.clear()
        self._granted.clear()
        self._without_room.clear()
        self.held.clear()
        self.turned_away = False
        dropping = self._drop_each(dropped)
        try:
            await finish(dropping)
        finally:  # the rest at once, if this is cancelled
            for _ in dropping:
                pass

    def _drop_each(self, dropped: AttemptIndex) -> Iterator[None]:
        has_slot: list[Attempt] = []
        for seen, attempt in enumerate(
            dropped, 1
        ):  # first: a slot that comes free must not start one
            if not self.withdraw_queued(attempt):
                has_slot.append(attempt)
            if seen % PORTION == 0:
                yield
        tell_dropped(self.partition, has_slot)
        granted_late, self._granted_late = self._granted_late, []
        for attempt in (*has_slot, *granted_late):
            if attempt.state is State.RUNNING:
                self._executor.abandon(attempt, report=False)
            elif attempt.state is State.GRANTED:
                self._take_back(attempt)

    # --- called by the executor -------------------------------------------------------

    def granted(self, attempt: Attempt) -> None:
        """A queued attempt has its slot: it starts, or records first that it does."""
        self.queued -= 1
        if self._attempts.get(attempt.token) is not attempt:
            self._granted_late.append(attempt)
            return
        if attempt.lease is None:  # else an event says first who is to have it
            rows = self._store.rows(attempt.instance_id)
            if (
                self.serving
                and self.accepting
                and not self.reports.waiting.is_full
                and not begins(rows, attempt)
                and is_wanted(rows, attempt)
            ):
                try:
                    self._start(rows, attempt)
                except HistoryError:
                    pass  # it is the owner's loop that decides what becomes of it
                else:
                    return
        self._granted.append(attempt)
        self._wake()

    def room_freed(self) -> None:
        """An attempt that had no room for its input may have it now."""
        self._wake()

    def reported(self, attempt: Attempt, outcome: Outcome) -> None:
        """An attempt ended, or was left behind and ended late."""
        if self._attempts.get(attempt.token) is not attempt:
            if attempt.state is State.RUNNING:  # all attempts are dropped
                attempt.move(State.REPORTED)
                return
            if self._attempts.get(attempt.token) is None:
                self._attempts.put(attempt)
        self.report(attempt, outcome)

    # --- for attempts elsewhere, and held ones ----------------------------------------

    def find(self, token: Token) -> Attempt | None:
        """The attempt with a token, if it is here."""
        return self._attempts.get(token)

    def of_chain(self, instance_id: str, chain: str) -> Iterator[Attempt]:
        """The attempts of a chain that are here, the latest first."""
        return self._attempts.of_chains(instance_id, [chain])

    def all_attempts(self) -> Iterator[Attempt]:
        """All that are here; what comes or goes meanwhile does no harm."""
        return iter(self._attempts)

    def put_withdrawn(self, attempt: Attempt) -> None:
        """Report an attempt as withdrawn that was not here."""
        self._maybe_begun.discard(attempt.token)
        attempt.move(State.WITHDRAWN)
        self._attempts.put(attempt)
        self.report_withdrawn(attempt)

    def put_running(self, attempt: Attempt) -> None:
        """Take in an attempt that runs already."""
        self._attempts.put(attempt)
        self.leases.add(attempt)

    def forget_queued(self, attempt: Attempt) -> bool:
        """Forget an attempt that queues; False if it does not."""
        is_queued = self.withdraw_queued(attempt)
        if is_queued:
            self._attempts.remove(attempt)
        return is_queued

    def forget(self, attempt: Attempt, *, is_owed: bool) -> None:
        """Forget an attempt that was taken back; if it is owed, it is offered again."""
        self._attempts.remove(attempt)
        if is_owed:
            self._maybe_begun.add(attempt.token)
            self.lost_chains.append((attempt.instance_id, attempt.chain))
            self._wake()

    # --- inside -----------------------------------------------------------------------

    def _start(self, rows: Rows, attempt: Attempt) -> None:
        """Resolve the input, and run it, if there is room: the rows await it.

        Raises:
            HistoryError: if no event recorded its input.
        """
        cursor = get_cursor(rows, attempt.chain)
        assert cursor is not None
        assert isinstance(cursor.wait, Awaiting)
        work = attempt.runnable or attempt.job
        assert work is not None
        graph = work.graph
        named = named_values(rows, attempt)
        size = size_of(rows, graph, cursor.input)
        size += sum(map(len, named.values())) if named else 0
        most = self._settings.limits.input_bytes
        if attempt.lease is not None and self.elsewhere is not None:
            most = self.elsewhere.input_bytes_max(attempt)
        if size > most:
            self._take_back(attempt)
            self.report(attempt, self._outcomes.input_too_large(attempt, size, most))
            return
        if not self._executor.take_room(attempt, size):
            self._without_room.append(attempt)
            return
        attempt.input, attempt.named = resolve(rows, graph, cursor.input), named
        attempt.deadline_at_ms = cursor.wait.deadline_at
        self._executor.start(attempt)
        self.leases.add(attempt)

    def _give_back(self, rows: Rows, attempt: Attempt) -> None:
        """What was offered will not start; a request that waits for it is told."""
        self._take_back(attempt)
        header = get_header(rows)
        if header is not None and is_requested(header) and is_awaited(rows, attempt):
            self.report_withdrawn(attempt)
        else:
            self._attempts.remove(attempt)

    def _leave(self, rows: Rows, attempt: Attempt) -> None:
        """It does not begin in here; if the log says that it did, that is withdrawn."""
        wait = task.awaiting(rows, attempt.path)
        begun = attempt.restart or attempt.lease is not None
        begun |= wait is not None and wait.deadline_at is not None
        was_granted = attempt.state is State.GRANTED
        self._take_back(attempt)
        if was_granted and begun:
            self.report_withdrawn(attempt)
            return
        self._attempts.remove(attempt)
        if attempt.restart:
            self._maybe_begun.add(attempt.token)

    def _take_back(self, attempt: Attempt) -> None:
        """Withdraw an attempt that has not started; its slot may be another's."""
        has_slot = attempt.state is State.GRANTED
        attempt.move(State.WITHDRAWN)
        if has_slot:
            self._executor.release(attempt)
        else:
            self.queued -= 1

    def withdraw_queued(self, attempt: Attempt) -> bool:
        """Take back an attempt that queues; False if it does not."""
        if not self._executor.withdraw(attempt):
            return False
        self.queued -= 1
        return True

    def report_withdrawn(self, attempt: Attempt) -> None:
        """That an attempt came back is to be recorded."""
        self.report(attempt, self._outcomes.withdrawn(attempt))

    def report(self, attempt: Attempt, outcome: Outcome | DecisionFailed) -> None:
        """What an attempt ended with is to be decided."""
        self.leases.remove(attempt)
        self.reports.add(attempt, outcome)
        self._wake()
