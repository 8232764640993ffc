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
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from sayiir_es.core.decide.owed import is_held
from sayiir_es.core.graph.references import resolve
from sayiir_es.core.model.errors import HistoryError
from sayiir_es.core.model.inputs import DecisionFailed, Outcome, SlotTaken
from sayiir_es.core.model.rows import (
    Cursor,
    Header,
    Rows,
    get_cursor,
    get_cursors,
    get_header,
    get_run,
)
from sayiir_es.core.model.waits import Awaiting
from sayiir_es.core.nodes import task
from sayiir_es.engine.attempts.attempt import DEFAULT_PRIORITY, Attempt, State
from sayiir_es.engine.attempts.attempt_index import AttemptIndex
from sayiir_es.engine.attempts.awaited import is_awaited, is_wanted
from sayiir_es.engine.attempts.waiting_outcomes import WaitingOutcomes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sayiir_es.core.decide.owed import OwedAttempt
    from sayiir_es.core.draft import Decision
    from sayiir_es.engine.attempts.attempt import Token
    from sayiir_es.engine.attempts.executor_port import Executor
    from sayiir_es.engine.definitions.registry import Registry
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.engine.worker_settings import OwnerSettings


class Batch(Protocol):
    """What the dispatcher needs of the batch that is made."""

    @property
    def now_ms(self) -> int:
        """The time of its decisions, in epoch milliseconds."""
        ...

    def decide(self, input_: SlotTaken, /) -> Decision:
        """Make one decision."""
        ...

    def view(self, instance_id: str, /) -> Rows:
        """The rows of an instance as staged so far."""
        ...


class Dispatcher:
    """The attempts of one partition that are offered, queued, running or reported."""

    def __init__(
        self,
        *,
        executor: Executor,
        registry: Registry,
        store: SnapshotStore,
        settings: OwnerSettings,
        wake: Callable[[], None],
    ) -> None:
        self.accepting = True
        self.serving = False
        """Whether a claim is in force: without one nothing is started."""
        self.turned_away = False
        """Whether an owed attempt found the queue full, and is to be offered again."""
        self._lacks_code = False
        """Whether an owed attempt found no code in this process."""
        self._executor = executor
        self._registry = registry
        self._store = store
        self._settings = settings
        self._wake = wake
        self._queued = 0
        """How many queue, or will when their batch is live."""
        self._attempts = AttemptIndex()
        self._granted: deque[Attempt] = deque()
        """Have a slot, and wait for the decision that records their start."""
        self._reported: deque[Attempt] = deque()
        """Their outcomes wait to be decided, first come, first decided."""
        self._waiting = WaitingOutcomes()
        self._deciding: list[Attempt] = []
        """Their outcomes are decided in the batch that is made or in flight."""
        self._maybe_begun: set[Token] = set()
        """Not offered yet, and may have begun under an owner that is gone."""

    @property
    def busy(self) -> bool:
        """Whether an attempt is queued or running, or an outcome is to be decided."""
        return bool(self._attempts or self._reported or self.turned_away)

    @property
    def is_full(self) -> bool:
        """Whether as many attempts queue as may."""
        return self._queued >= self._settings.queued_attempts_max

    @property
    def has_room(self) -> bool:
        """Whether so much room is in the queue that looking for more is worth it."""
        return self._queued * 2 <= self._settings.queued_attempts_max

    def holds(self, instance_id: str) -> bool:
        """Whether an attempt of the instance is queued, runs or has reported here."""
        return self._attempts.holds(instance_id)

    @property
    def has_outcomes(self) -> bool:
        """Whether an outcome is to be decided, or its decision to be acknowledged."""
        return bool(self._reported or self._deciding)

    def drain(self) -> None:
        """Begin nothing further; what does not run stays owed, by whoever owns next."""
        self.accepting = self.turned_away = False
        returned = [a for a in self._attempts if self._withdraw_queued(a)]
        # Behind the queue: a slot that comes free must not start what is in it.
        for attempt in self._granted:
            if attempt.state is State.GRANTED:
                self._take_back(attempt)
                returned.append(attempt)
        self._granted.clear()
        for attempt in returned:
            self._attempts.remove(attempt)
            if attempt.restart:
                self._maybe_begun.add(attempt.token)

    def withdraw_running(self) -> int:
        """Take back what runs, and have that recorded; returns how many these were.

        Whoever owns next begins them again, and does not take them for lost.
        """
        running = [a for a in self._attempts if a.state is State.RUNNING]
        for attempt in running:
            self._executor.abandon(attempt, report=False)
            self._report_withdrawn(attempt)
        return len(running)

    def code_added(self) -> None:
        """This process can run more than before: what waits for code is offered."""
        if self._lacks_code and self.accepting:
            self._lacks_code = False
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

        Its start is decided into the batch where it is granted a slot at once.
        """
        token = (instance_id, owed.run, owed.path, owed.attempt)
        if not self.accepting or self._attempts.get(token) is not None:
            return None
        attempt = self._new(batch, instance_id, owed)
        if attempt is None:
            if restart:
                self._maybe_begun.add(token)
            return None
        # Withdrawn where the source of a fork stood: without an event that it begins,
        # its outcome would count for nothing.
        silent = owed.withdrawn and not attempt.is_timed
        attempt.restart = restart or silent or token in self._maybe_begun
        if self._executor.reserve(attempt):
            self._attempts.put(attempt)
            if attempt.restart or (attempt.is_timed and owed.deadline_at is None):
                batch.decide(_slot_taken(attempt))
        elif self.is_full:
            if attempt.restart:
                self._maybe_begun.add(token)
            self.turned_away = True
            return None
        else:
            self._attempts.put(attempt)
            self._queued += 1
        return attempt

    @property
    def next_granted(self) -> Attempt | None:
        """The next attempt that was granted a slot and is to record its start."""
        return self._granted[0] if self._granted else None

    def take_granted(self) -> Attempt:
        """The same, for the batch that is made."""
        return self._granted.popleft()

    def begin(self, batch: Batch, attempt: Attempt) -> bool:
        """Record what must stand before it runs; False if nobody wants it any more."""
        if attempt.state is not State.GRANTED:
            return False  # withdrawn meanwhile
        decision = batch.decide(_slot_taken(attempt))
        rows = batch.view(attempt.instance_id)
        if not decision.events and not is_wanted(rows, attempt):
            self._give_back(rows, attempt)
            return False
        return True

    @property
    def next_report(self) -> Outcome | DecisionFailed | None:
        """The next outcome that waits to be decided, or why there will be none."""
        return self._reported[0].outcome if self._reported else None

    def take_report(self) -> Outcome | DecisionFailed:
        """The next outcome, or why there will be none, for the batch that is made."""
        attempt = self._reported.popleft()
        self._waiting.remove(attempt)
        self._deciding.append(attempt)
        assert attempt.outcome is not None
        return attempt.outcome

    # --- after the ack, or without it -------------------------------------------------

    def acknowledged(self) -> None:
        """The batch is live: the outcomes in it are decided for good."""
        for attempt in self._deciding:
            attempt.move(State.DECIDED)
            self._attempts.remove(attempt)
        self._deciding.clear()

    def dispatch(self, rows: Rows, attempt: Attempt) -> None:
        """Start or queue what a batch offered, if the live rows still want it."""
        if not is_wanted(rows, attempt):
            self._give_back(rows, attempt)
        elif not self.accepting:
            self._leave(rows, attempt)
        elif attempt.state is State.GRANTED:
            self._maybe_begun.discard(attempt.token)
            try:
                self._start(rows, attempt)
            except HistoryError as error:
                self._report_no_input(attempt, error)
        else:
            self._executor.enqueue(attempt)

    def undo(self, attempts: list[Attempt]) -> None:
        """The batch never became live: give back its slots, keep its outcomes."""
        self._reported.extendleft(reversed(self._deciding))
        for attempt in self._deciding:
            self._waiting.add(attempt)
        self._deciding.clear()
        for attempt in attempts:
            if attempt.restart:
                self._maybe_begun.add(attempt.token)
            self._take_back(attempt)
            self._attempts.remove(attempt)

    def hold(self, instance_id: str, rows: Rows, now_ms: int) -> None:
        """A cancel or pause was requested: what has no slot comes back at once.

        The last comes first: while they are decided on, one by one, whoever asks
        whether anything still runs finds the first cursor that does.
        """
        header = get_header(rows)
        if header is None or header.phase != "running":
            return
        cursors = [cursor for _, cursor in get_cursors(rows)]
        for cursor in reversed(cursors):
            wait = cursor.wait
            if isinstance(wait, Awaiting) and task.is_running(header, wait, now_ms):
                self._hold_attempt(instance_id, header, cursor, wait)

    def _hold_attempt(
        self, instance_id: str, header: Header, cursor: Cursor, wait: Awaiting
    ) -> None:
        token = (instance_id, header.run, cursor.path, wait.attempt)
        attempt = self._attempts.get(token)
        if attempt is None:
            self._maybe_begun.discard(token)
            attempt = Attempt(
                instance_id=instance_id,
                run=header.run,
                path=cursor.path,
                number=wait.attempt,
                owner=self,
            )
            attempt.move(State.WITHDRAWN)
            self._attempts.put(attempt)
            self._report_withdrawn(attempt)
        elif self._withdraw_queued(attempt):
            self._report_withdrawn(attempt)
        elif header.cancel is not None and attempt.state is State.RUNNING:
            self._executor.request_cancel(attempt, self._settings.cancel_grace_s)

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
                self._executor.abandon(attempt, report=True)
            case State.QUEUED:
                self._withdraw_queued(attempt)
            case State.GRANTED:
                self._take_back(attempt)
            case _:
                return
        self._maybe_begun.discard(attempt.token)
        self._attempts.remove(attempt)

    def drop_all(self) -> None:
        """The tenure is over for good: cancel what runs, drop every outcome."""
        attempts = list(self._attempts)
        for attempt in attempts:  # first: a slot that comes free must not start one
            self._withdraw_queued(attempt)
        for attempt in attempts:
            if attempt.state is State.RUNNING:
                self._executor.abandon(attempt, report=False)
            elif attempt.state is State.GRANTED:
                self._take_back(attempt)
        self._attempts.clear()
        self._maybe_begun.clear()
        self._reported.clear()
        self._waiting = WaitingOutcomes()
        self._deciding.clear()
        self._granted.clear()
        self.turned_away = False

    # --- called by the executor -------------------------------------------------------

    def granted(self, attempt: Attempt) -> None:
        """A queued attempt has its slot: it starts, or records first that it does."""
        self._queued -= 1
        rows = self._store.rows(attempt.instance_id)
        if (
            self.serving
            and not self._waiting.is_full
            and not _begins(rows, attempt)
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

    def reported(self, attempt: Attempt, outcome: Outcome) -> None:
        """An attempt ended, or was left behind and ended late."""
        if (
            attempt.state is State.WITHDRAWN
            and self._attempts.get(attempt.token) is None
        ):
            self._attempts.put(attempt)
        self._report(attempt, outcome)

    # --- inside -----------------------------------------------------------------------

    def _new(self, batch: Batch, instance_id: str, owed: OwedAttempt) -> Attempt | None:
        run = get_run(batch.view(instance_id))
        if run is None:
            return None
        runnable = self._registry.runnable(run.graph_digest, owed.path)
        if runnable is None:
            self._lacks_code = True
            return None  # it waits for code: here, or of another owner
        return Attempt(
            instance_id=instance_id,
            run=owed.run,
            path=owed.path,
            number=owed.attempt,
            owner=self,
            runnable=runnable,
            priority=runnable.node.priority or DEFAULT_PRIORITY,
            queued_at_ms=batch.now_ms,
        )

    def _start(self, rows: Rows, attempt: Attempt) -> None:
        """Resolve the input, and run it: the rows await it.

        Raises:
            HistoryError: if no event recorded its input.
        """
        cursor = get_cursor(rows, attempt.chain)
        assert cursor is not None
        assert isinstance(cursor.wait, Awaiting)
        assert attempt.runnable is not None
        attempt.input = resolve(rows, attempt.runnable.graph, cursor.input)
        attempt.deadline_at_ms = cursor.wait.deadline_at
        self._executor.start(attempt)

    def _give_back(self, rows: Rows, attempt: Attempt) -> None:
        """What was offered will not start; a request that waits for it is told."""
        self._take_back(attempt)
        header = get_header(rows)
        if header is not None and is_held(header) and is_awaited(rows, attempt):
            self._report_withdrawn(attempt)
        else:
            self._attempts.remove(attempt)

    def _leave(self, rows: Rows, attempt: Attempt) -> None:
        """It does not begin in here; if the log says that it did, that is withdrawn."""
        wait = task.awaiting(rows, attempt.path)
        begun = attempt.restart or (wait is not None and wait.deadline_at is not None)
        was_granted = attempt.state is State.GRANTED
        self._take_back(attempt)
        if was_granted and begun:
            self._report_withdrawn(attempt)
            return
        self._attempts.remove(attempt)
        if attempt.restart:
            self._maybe_begun.add(attempt.token)

    def _take_back(self, attempt: Attempt) -> None:
        """Withdraw an attempt that has not started; its slot may be another's."""
        has_slot = attempt.state is State.GRANTED
        attempt.move(State.WITHDRAWN)
        if has_slot:
            self._executor.release()
        else:
            self._queued -= 1

    def _withdraw_queued(self, attempt: Attempt) -> bool:
        if not self._executor.withdraw(attempt):
            return False
        self._queued -= 1
        return True

    def _report_withdrawn(self, attempt: Attempt) -> None:
        self._report(
            attempt,
            Outcome(
                instance_id=attempt.instance_id,
                run=attempt.run,
                path=attempt.path,
                attempt=attempt.number,
                result="withdrawn",
                worker=self._settings.worker_id,
            ),
        )

    def _report_no_input(self, attempt: Attempt, error: HistoryError) -> None:
        """The instance owes an attempt that it has no input for: its rows are wrong."""
        self._take_back(attempt)
        failed = DecisionFailed(
            instance_id=attempt.instance_id,
            decided_on=f"the input of {attempt.path!r}, attempt {attempt.number}",
            error_type=type(error).__name__,
            error=str(error),
        )
        self._report(attempt, failed)

    def _report(self, attempt: Attempt, outcome: Outcome | DecisionFailed) -> None:
        attempt.move(State.REPORTED)
        attempt.input, attempt.outcome = b"", outcome
        self._reported.append(attempt)
        self._waiting.add(attempt)
        self._wake()


def _slot_taken(attempt: Attempt) -> SlotTaken:
    return SlotTaken(
        instance_id=attempt.instance_id,
        run=attempt.run,
        path=attempt.path,
        attempt=attempt.number,
        restart=attempt.restart,
    )


def _begins(rows: Rows, attempt: Attempt) -> bool:
    """Whether an event must say that it begins, before it may."""
    if attempt.restart:
        return True
    wait = task.awaiting(rows, attempt.path) if attempt.is_timed else None
    return wait is not None and wait.deadline_at is None
