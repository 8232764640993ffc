"""What came in for one partition, in order of urgency, decided into batches.

Theory of operation. First what a take-over finds, then due timers, outcomes, slots and
commands. `collect` decides them into a batch and offers the attempts that became due;
`act`, after the ack, arms timers, stops what nobody awaits any more and starts what was
offered. Nothing here touches the log.

One call decides a portion of what is there. A take-over of many instances, or of many
timers that are overdue, goes on over many calls; meanwhile what came in is decided too,
each behind the recovery of its own instance. Where such a call left something behind,
the next one decides what came in first: both get on, also when one fills whole batches.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sayiir_es.core.decide.owed import (
    is_held,
    owed_attempt,
    owed_timer,
)
from sayiir_es.core.model.events import Event, InstanceReleased, WorkflowUnpaused
from sayiir_es.core.model.inputs import (
    Commanded,
    Outcome,
    ResumeCut,
    TakenOver,
    TimerDue,
)
from sayiir_es.core.model.rows import (
    TERMINAL,
    Rows,
    chain_of,
    get_cursor,
    get_cursors,
    get_header,
    get_run,
)
from sayiir_es.core.model.waits import Awaiting, Listening
from sayiir_es.core.nodes.registry import WAITS
from sayiir_es.engine.owner.recovery import Recovery
from sayiir_es.engine.owner.timers import Timers
from sayiir_es.engine.store.row_index import may_owe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sayiir_es.core.decide.owed import OwedAttempt
    from sayiir_es.core.draft import Decision
    from sayiir_es.core.model.inputs import Input
    from sayiir_es.core.model.rows import Header, StagedRows
    from sayiir_es.engine.attempts.attempt import Attempt
    from sayiir_es.engine.attempts.dispatcher import Dispatcher
    from sayiir_es.engine.commands.feed import CommandFeed, FedCommand
    from sayiir_es.engine.definitions.registry import Registry
    from sayiir_es.engine.owner.batch import Batch
    from sayiir_es.engine.owner.claiming import TakeoverContext
    from sayiir_es.engine.owner.portion import Portion
    from sayiir_es.engine.store.port import SnapshotStore

PORTION = 256
"""Instances looked at in one batch for attempts that were turned away."""


class Inputs:
    """The inputs of one tenure of one partition, and what follows from them."""

    def __init__(
        self,
        *,
        store: SnapshotStore,
        dispatcher: Dispatcher,
        registry: Registry,
        feed: CommandFeed,
        takeover: TakeoverContext,
        start_turn: Callable[[], Portion],
    ) -> None:
        self.timers = Timers()
        self.feed = feed
        self._store = store
        self._dispatcher = dispatcher
        self._registry = registry
        self._takeover = takeover
        self._recovery = Recovery(store)
        self._start_turn = start_turn
        self._portion = start_turn()
        self._was_spent = False
        self._left_behind = False
        """The last portion did not reach all that recovery and timers had to do."""
        self._deferred: deque[tuple[int, str, str]] = deque()
        """Due, and waiting until the commands of the time of the claim are decided."""
        self._unpaused: set[str] = set()
        self._cut = ""
        """The instance whose decision was cut: its rest comes before all else."""
        self._behind_cut: list[tuple[str, str, bool]] = []
        """Offered once the rest is decided: instance, chain, recovering."""
        self._unoffered: dict[str, None] = {}
        """Recovered instances that found the attempts' queue full, in order."""
        self._owing: Iterator[str] | None = None
        """Where the search for attempts stands that were turned away."""

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be decided."""
        return self.recovered and not (
            self._left_behind or self.feed.items or self._owing
        )

    @property
    def is_searching(self) -> bool:
        """Whether attempts that were turned away are to be looked for now."""
        return (
            self._dispatcher.has_room
            and self._recovery.is_over
            and bool(self._unoffered or self._owing or self._dispatcher.turned_away)
        )

    @property
    def has_more(self) -> bool:
        """Whether the last portion left something that waits for nothing."""
        return self._left_behind or self._was_spent or not self._recovery.is_over

    @property
    def recovered(self) -> bool:
        """Whether all that a take-over finds was decided."""
        return self._recovery.is_over and not self._unoffered

    def collect(self, batch: Batch, offered: list[Attempt]) -> None:
        """Decide on a portion of what came in, in order of urgency.

        What becomes due is added to `offered`; it is to be undone if this raises.

        Raises:
            LogError: if a command on the wrong partition could not be forwarded.
        """
        self._portion = self._start_turn()
        self.timers.extend(self._store, batch.now_ms)
        self._finish_cut(batch, offered)
        if self._left_behind:
            self._collect_arrived(batch, offered, share=0.5)
            self._collect_due(batch, offered, share=1.0)
        else:
            self._collect_due(batch, offered, share=0.5)
            self._collect_arrived(batch, offered, share=1.0)
        if self.is_searching:
            self._offer_turned_away(batch, offered)
        self._was_spent = self._portion.is_spent()

    def _collect_due(
        self, batch: Batch, offered: list[Attempt], *, share: float
    ) -> None:
        """What is owed by the clock: recovery and timers, half of this share each."""
        half = share - 0.25
        self._collect_recovery(batch, offered, share=half)
        self._collect_timers(batch, offered, share=share)
        self._left_behind = (
            not self._recovery.is_over
            or self.timers.has_more(batch.now_ms)
            or (bool(self._deferred) and not self._waits_for_commands())
        )

    def _collect_arrived(
        self, batch: Batch, offered: list[Attempt], *, share: float
    ) -> None:
        """What came in: outcomes, slots and commands."""
        self._collect_reports(batch, offered, share=share)
        self._collect_granted(batch, offered, share=share)
        self._collect_commands(batch, offered, share=share)

    def _is_open(self, batch: Batch, payload: int | None = None) -> bool:
        """Whether another decision may join the batch: none may pass a cut one."""
        return not self._cut and not batch.full(payload)

    def _is_ready(
        self, batch: Batch, instance_id: str, offered: list[Attempt], payload: int = 0
    ) -> bool:
        """Whether something of the instance may be decided now, in this batch.

        What a take-over left of the instance comes first, out of turn.
        """
        if not self._recovery.is_due(instance_id):
            return True
        self._recover(batch, instance_id, offered)
        return self._is_open(batch, payload)

    def _decide(self, batch: Batch, input_: Input, offered: list[Attempt]) -> None:
        """Decide, and the rest of it as long as the batch has room."""
        decision = batch.decide(input_)
        if decision.cut:
            self._cut = decision.instance_id
        self._finish_cut(batch, offered)
        self._offer_changed(batch, decision, offered)

    def _finish_cut(self, batch: Batch, offered: list[Attempt]) -> None:
        while self._cut and not batch.full():
            instance_id, self._cut = self._cut, ""
            self._decide(batch, ResumeCut(instance_id=instance_id), offered)
        if not self._cut:
            behind_cut, self._behind_cut = self._behind_cut, []
            for instance_id, chain, recovering in behind_cut:
                self._offer(batch, instance_id, chain, offered, recovering=recovering)

    # --- recovery and timers ----------------------------------------------------------

    def _collect_recovery(
        self, batch: Batch, offered: list[Attempt], *, share: float
    ) -> None:
        while self._is_open(batch) and not self._portion.is_spent(share):
            instance_id = self._recovery.take()
            if instance_id is None:
                return
            self._portion.spend()
            self._recover(batch, instance_id, offered)

    def _recover(self, batch: Batch, instance_id: str, offered: list[Attempt]) -> None:
        rows = batch.view(instance_id)
        if not _may_owe(rows):
            self._recovery.recovered(instance_id)
            return
        self._decide(batch, ResumeCut(instance_id=instance_id), offered)
        if self._cut:
            self._recovery.repeat(instance_id)
            return
        self._recovery.recovered(instance_id)
        # Attempts that are here were handed out behind this, in an earlier tenure.
        if self._takeover.taken_over and not self._dispatcher.holds(instance_id):
            self._decide(batch, TakenOver(instance_id=instance_id), offered)
        if self._dispatcher.is_full:
            self._unoffered[instance_id] = None
        else:
            self._offer_all(batch, instance_id, offered, recovering=True)

    def _collect_timers(
        self, batch: Batch, offered: list[Attempt], *, share: float
    ) -> None:
        while self._is_open(batch) and not self._portion.is_spent(share):
            timer = self._take_timer(batch.now_ms)
            if timer is None:
                return
            self._portion.spend()
            due_at, instance_id, chain = timer
            if not self._is_ready(batch, instance_id, offered):
                self.timers.arm(due_at, instance_id, chain)
                return
            cursor = get_cursor(batch.view(instance_id), chain)
            if cursor is None:
                continue
            is_for_owner = due_at < self._takeover.wakes_before
            if not is_for_owner and WAITS[type(cursor.wait)].is_timer_held:
                continue
            if isinstance(cursor.wait, Listening) and self._waits_for_commands():
                self._deferred.append(timer)
                continue
            self._decide_timer(batch, timer, offered)

    def _take_timer(self, now_ms: int) -> tuple[int, str, str] | None:
        if self._deferred and not self._waits_for_commands():
            return self._deferred.popleft()
        return self.timers.take_due(now_ms)

    def _decide_timer(
        self, batch: Batch, timer: tuple[int, str, str], offered: list[Attempt]
    ) -> None:
        due_at, instance_id, chain = timer
        rows = batch.view(instance_id)
        cursor, header = get_cursor(rows, chain), get_header(rows)
        if cursor is None or header is None:
            return
        due = TimerDue(instance_id=instance_id, chain=chain, due_at=due_at)
        self._decide(batch, due, offered)
        if isinstance(cursor.wait, Awaiting) and is_held(header):
            self._dispatcher.hold(instance_id, batch.view(instance_id), batch.now_ms)
        if instance_id not in self._unoffered:  # else it may have begun elsewhere
            self._offer(batch, instance_id, chain, offered, recovering=False)

    def _waits_for_commands(self) -> bool:
        """Whether a command that stood there at the claim is still to be decided."""
        upto, items = self._takeover.commands_at_claim, self.feed.items
        return self.feed.next_offset < upto or (
            bool(items) and items[0].position.offset < upto
        )

    # --- what came in -----------------------------------------------------------------

    def _collect_reports(
        self, batch: Batch, offered: list[Attempt], *, share: float
    ) -> None:
        dispatcher = self._dispatcher
        while (outcome := dispatcher.next_report) and not self._portion.is_spent(share):
            output = outcome.output if isinstance(outcome, Outcome) else None
            size = len(output or b"")
            if not self._is_open(batch, size):
                return
            self._portion.spend()
            if not self._is_ready(batch, outcome.instance_id, offered, size):
                return
            if isinstance(outcome, Outcome):
                self._time_out(batch, outcome, offered)
            if not self._is_open(batch, size):
                return
            self._decide(batch, dispatcher.take_report(), offered)

    def _time_out(self, batch: Batch, outcome: Outcome, offered: list[Attempt]) -> None:
        """Decide on an attempt's deadline before an outcome that came behind it.

        Its timer may stand far behind others that are overdue.
        """
        instance_id, chain = outcome.instance_id, chain_of(outcome.path)
        cursor = get_cursor(batch.view(instance_id), chain)
        if cursor is None or not isinstance(cursor.wait, Awaiting):
            return
        deadline_at = cursor.wait.deadline_at
        if deadline_at is not None and deadline_at <= batch.now_ms:
            self._decide_timer(batch, (deadline_at, instance_id, chain), offered)

    def _collect_granted(
        self, batch: Batch, offered: list[Attempt], *, share: float
    ) -> None:
        dispatcher = self._dispatcher
        while self._is_open(batch, 0) and not self._portion.is_spent(share):
            attempt = dispatcher.next_granted
            if attempt is None:
                return
            self._portion.spend()
            if not self._is_ready(batch, attempt.instance_id, offered):
                return
            if dispatcher.begin(batch, dispatcher.take_granted()):
                offered.append(attempt)

    def _collect_commands(
        self, batch: Batch, offered: list[Attempt], *, share: float
    ) -> None:
        feed = self.feed
        while feed.items and self._is_open(batch, feed.items[0].payload):
            if self._portion.is_spent(share):
                return
            self._portion.spend()
            item = feed.items[0]
            if item.redirect is not None:
                if not item.redirect.done():
                    return
                self._answer_redirect(batch, feed.take())
                continue
            assert item.command is not None
            instance_id = item.command.instance_id
            if not self._is_ready(batch, instance_id, offered, item.payload):
                return
            feed.take()
            commanded = Commanded(
                command=item.command,
                position=item.position,
                known_origin=batch.knows_origin(item.position, item.origin_end),
                source=item.source,
            )
            self._decide(batch, commanded, offered)

    def _answer_redirect(self, batch: Batch, item: FedCommand) -> None:
        assert item.redirect is not None
        batch.add(
            [
                Event(
                    claim=batch.context.claim,
                    instance_id="",
                    run=0,
                    sequence=0,
                    at=batch.now_ms,
                    cause=item.position.cause(),
                    body=item.redirect.result(),
                )
            ]
        )
        batch.answered(item.position, accepted=False)

    # --- offering ---------------------------------------------------------------------

    def _offer_changed(
        self, batch: Batch, decision: Decision, offered: list[Attempt]
    ) -> None:
        """Offer what this decision made due: the cursors that it moved, no others."""
        if not decision.events:
            return
        instance_id = decision.instance_id
        header = get_header(batch.view(instance_id))
        if header is None or is_held(header) or header.phase != "running":
            return
        if isinstance(decision.events[0].body, WorkflowUnpaused | InstanceReleased):
            self._unpaused.add(instance_id)
            recovering = instance_id in self._unoffered
            self._offer_all(batch, instance_id, offered, recovering=recovering)
            return
        for chain in decision.moved:
            self._offer(batch, instance_id, chain, offered, recovering=False)

    def _offer_all(
        self,
        batch: Batch,
        instance_id: str,
        offered: list[Attempt],
        *,
        recovering: bool,
    ) -> None:
        for chain in [chain for chain, _ in get_cursors(batch.view(instance_id))]:
            self._offer(batch, instance_id, chain, offered, recovering=recovering)

    def _offer(
        self,
        batch: Batch,
        instance_id: str,
        chain: str,
        offered: list[Attempt],
        *,
        recovering: bool,
    ) -> None:
        if self._cut:  # a slot's event must not stand before the rest of its decision
            self._behind_cut.append((instance_id, chain, recovering))
            return
        now = batch.now_ms
        owed = self._owed_attempt(batch.view(instance_id), chain)
        if owed is None or (owed.deadline_at is not None and owed.deadline_at <= now):
            return
        restart = owed.begun and recovering and self._takeover.taken_over
        if owed.not_before > now:
            if restart:  # by the clock of the earlier owner it may have begun
                token = (instance_id, owed.run, owed.path, owed.attempt)
                self._dispatcher.will_restart(token)
            return
        attempt = self._dispatcher.offer(batch, instance_id, owed, restart=restart)
        if attempt is not None:
            offered.append(attempt)

    def _owed_attempt(self, rows: Rows, chain: str) -> OwedAttempt | None:
        """The attempt that the cursor of `chain` owes, by the graph of its run."""
        header, cursor, run = get_header(rows), get_cursor(rows, chain), get_run(rows)
        if header is None or cursor is None or run is None:
            return None
        graph = self._registry.by_digest(run.graph_digest)
        return None if graph is None else owed_attempt(header, cursor, graph)

    def _offer_turned_away(self, batch: Batch, offered: list[Attempt]) -> None:
        """Offer again, in portions, what found the queue full.

        Which attempts these were nobody remembers: the store's index of instances that
        owe something is read from its start to its end. What is turned away meanwhile
        may stand where that reading has been, and asks for another one.
        """
        for _ in range(PORTION):
            if self._dispatcher.is_full or not self._is_open(batch):
                return
            if self._portion.is_spent():
                return
            self._portion.spend()
            if self._unoffered:
                instance_id = next(iter(self._unoffered))
                del self._unoffered[instance_id]
                self._offer_all(batch, instance_id, offered, recovering=True)
                continue
            if self._owing is None:
                if not self._dispatcher.turned_away:
                    return
                self._dispatcher.turned_away = False
                self._owing = self._store.owing()
            instance_id = next(self._owing, "")
            if instance_id:
                self._offer_all(batch, instance_id, offered, recovering=False)
            else:
                self._owing = None

    # --- acting -----------------------------------------------------------------------

    def act(self, batch: Batch, offered: list[Attempt]) -> None:
        """The batch is live: arm timers, start what is due, stop what is unwanted."""
        self._dispatcher.acknowledged()
        for attempt in offered:
            self._dispatcher.dispatch(batch.live(attempt.instance_id), attempt)
        for instance_id, staged in batch.staged.items():
            if staged.changes:
                self._follow(instance_id, staged, batch.now_ms)

    def _follow(self, instance_id: str, staged: StagedRows, now_ms: int) -> None:
        """Arm, stop and hold back what one instance's live rows say by now."""
        rows, changes = staged.base, staged.changes
        header = get_header(rows)
        if header is None:
            return
        chains = [key[1:] for key in changes if key[0] == "c"]
        begins = "r" in changes  # a new run: what ran belongs to the old one
        everywhere = begins or header.phase != "running"
        self._dispatcher.drop_unwanted(
            instance_id, rows, None if everywhere else chains
        )
        if instance_id in self._unpaused:
            self._unpaused.discard(instance_id)
            chains = [chain for chain, _ in get_cursors(rows)]
        for chain in chains:
            self._arm(instance_id, chain, rows, header)
        if is_held(header):
            self._dispatcher.hold(instance_id, rows, now_ms)

    def _arm(self, instance_id: str, chain: str, rows: Rows, header: Header) -> None:
        cursor = get_cursor(rows, chain)
        if cursor is None:
            return
        timer = owed_timer(header, chain, cursor)
        if timer is not None:
            self.timers.arm(timer.due_at, instance_id, timer.chain)


def _may_owe(rows: Rows) -> bool:
    """Whether a take-over may find something to do in these rows."""
    header = get_header(rows)
    if header is None or header.phase in TERMINAL or header.phase == "unstarted":
        return False
    return may_owe(header) or any(may_owe(cursor) for _, cursor in get_cursors(rows))
