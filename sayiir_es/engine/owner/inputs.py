"""What came in for one partition, in order of urgency, decided into batches.

Theory of operation. First what a take-over finds, then due timers, outcomes, slots and
commands. `collect` decides them into a batch and offers the attempts that became due;
`act`, after the ack, arms timers, stops what nobody awaits any more and starts what was
offered. Nothing here touches the log.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sayiir_es.core.decide.owed import is_held, is_request_owed, owed_moves, owed_timer
from sayiir_es.core.graph.lookup import get_graph
from sayiir_es.core.model.events import Event, WorkflowUnpaused
from sayiir_es.core.model.inputs import Commanded, ResumeCut, TakenOver, TimerDue
from sayiir_es.core.model.rows import (
    TERMINAL,
    Rows,
    get_cursor,
    get_cursors,
    get_header,
)
from sayiir_es.core.model.waits import Awaiting, Listening, Sleeping
from sayiir_es.engine.attempts.offers import owed_of
from sayiir_es.engine.owner.timers import Timers

if TYPE_CHECKING:
    from sayiir_es.core.decide.decide import Input
    from sayiir_es.core.draft import Decision
    from sayiir_es.core.model.rows import Header, StagedRows
    from sayiir_es.engine.attempts.dispatcher import Dispatcher
    from sayiir_es.engine.attempts.offers import Offer
    from sayiir_es.engine.commands.feed import CommandFeed, FedCommand
    from sayiir_es.engine.definitions.registry import Registry
    from sayiir_es.engine.owner.batch import Batch
    from sayiir_es.engine.owner.claiming import TakeoverContext
    from sayiir_es.engine.store.port import SnapshotStore


class Inputs:
    """The inputs of one tenure of one partition, and what follows from them."""

    def __init__(
        self,
        *,
        store: SnapshotStore,
        desk: Dispatcher,
        registry: Registry,
        feed: CommandFeed,
        found: TakeoverContext,
    ) -> None:
        self.timers = Timers()
        self.feed = feed
        self._store = store
        self._desk = desk
        self._registry = registry
        self._found = found
        self._recovery = deque(store.owing())
        self._deferred: list[tuple[int, str, str]] = []
        self._unpaused: set[str] = set()
        self._cut = ""
        """The instance whose decision was cut: its rest comes before all else."""
        self._unoffered: list[tuple[str, str, bool]] = []
        """Offered once the rest is decided: instance, chain, recovering."""

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be decided."""
        return not (self._recovery or self.feed.items)

    @property
    def recovered(self) -> bool:
        """Whether all that a take-over finds was decided."""
        return not self._recovery

    def collect(self, batch: Batch, offers: list[Offer]) -> None:
        """Decide on what came in, in order of urgency, until the batch is full.

        What becomes due is added to `offers`; they are to be undone if this raises.

        Raises:
            LogError: if a command that was sent astray could not be forwarded.
        """
        self.timers.extend(self._store, batch.world.now_ms)
        self._finish_cut(batch, offers)
        while self._recovery and self._open(batch):
            self._recover(batch, self._recovery.popleft(), offers)
        if self._recovery:
            return  # the rest of a cut decision may be among it: nothing passes that
        self._collect_timers(batch, offers)
        outcomes = self._desk.outcomes
        while outcomes and self._open(batch, outcomes.next_bytes):
            self._decide(batch, outcomes.take(), offers)
        while self._desk.slots and self._open(batch, 0):
            offer = self._desk.begin(batch, self._desk.slots.popleft())
            if offer is not None:
                offers.append(offer)
        self._collect_commands(batch, offers)

    def _open(self, batch: Batch, payload: int | None = None) -> bool:
        """Whether another decision may join the batch: none may pass a cut one."""
        return not self._cut and not batch.full(payload)

    def _decide(self, batch: Batch, asked: Input, offers: list[Offer]) -> None:
        """Decide, and the rest of it as long as the batch has room."""
        draft = batch.decide(asked)
        if draft.cut:
            self._cut = draft.instance_id
        self._finish_cut(batch, offers)
        self._offer_changed(batch, draft, offers)

    def _finish_cut(self, batch: Batch, offers: list[Offer]) -> None:
        while self._cut and not batch.full():
            instance_id, self._cut = self._cut, ""
            self._decide(batch, ResumeCut(instance_id=instance_id), offers)
        if not self._cut:
            unoffered, self._unoffered = self._unoffered, []
            for instance_id, chain, recovering in unoffered:
                self._offer(batch, instance_id, chain, offers, recovering=recovering)

    def _recover(self, batch: Batch, instance_id: str, offers: list[Offer]) -> None:
        rows = batch.view(instance_id)
        header = get_header(rows)
        if header is None or header.phase in TERMINAL or header.phase == "unstarted":
            return
        moves = owed_moves(rows, get_graph(rows, self._registry))
        if moves or is_request_owed(rows, batch.world.now_ms):
            self._decide(batch, ResumeCut(instance_id=instance_id), offers)
        if self._cut:
            self._recovery.appendleft(instance_id)
            return
        if self._found.taken_over:
            self._decide(batch, TakenOver(instance_id=instance_id), offers)
        self._offer_all(batch, instance_id, offers, recovering=True)

    def _collect_timers(self, batch: Batch, offers: list[Offer]) -> None:
        if self._deferred and not self._waits_for_commands():
            deferred, self._deferred = self._deferred, []
            for due_at, instance_id, chain in deferred:
                self.timers.arm(due_at, instance_id, chain)
        while self._open(batch):
            timer = self.timers.take_due(batch.world.now_ms)
            if timer is None:
                return
            due_at, instance_id, chain = timer
            rows = batch.view(instance_id)
            cursor, header = get_cursor(rows, chain), get_header(rows)
            if cursor is None or header is None:
                continue
            if self._found.wakes_before <= due_at and isinstance(
                cursor.wait, Sleeping | Listening
            ):
                continue
            if isinstance(cursor.wait, Listening) and self._waits_for_commands():
                self._deferred.append(timer)
                continue
            due = TimerDue(instance_id=instance_id, chain=chain, due_at=due_at)
            self._decide(batch, due, offers)
            if isinstance(cursor.wait, Awaiting) and is_held(header):
                self._desk.hold(
                    instance_id, batch.view(instance_id), batch.world.now_ms
                )
            self._offer(batch, instance_id, chain, offers, recovering=False)

    def _waits_for_commands(self) -> bool:
        """Whether a command that stood there at the claim is still to be decided."""
        upto, items = self._found.commands_at_claim, self.feed.items
        return self.feed.passed < upto or (
            bool(items) and items[0].position.offset < upto
        )

    def _collect_commands(self, batch: Batch, offers: list[Offer]) -> None:
        feed = self.feed
        while feed.items and self._open(batch, feed.items[0].payload):
            item = feed.items[0]
            if item.redirect is not None:
                if not item.redirect.done():
                    return
                self._answer_redirect(batch, feed.take())
                continue
            feed.take()
            assert item.command is not None
            commanded = Commanded(
                command=item.command,
                position=item.position,
                known_origin=batch.knows_origin(item.position),
                source=item.source,
            )
            self._decide(batch, commanded, offers)

    def _answer_redirect(self, batch: Batch, item: FedCommand) -> None:
        assert item.redirect is not None
        batch.add(
            [
                Event(
                    claim=batch.world.claim,
                    instance_id="",
                    run=0,
                    sequence=0,
                    at=batch.world.now_ms,
                    cause=item.position.cause(),
                    body=item.redirect.result(),
                )
            ]
        )
        batch.answered(item.position)

    # --- offering ---------------------------------------------------------------------

    def _offer_changed(
        self, batch: Batch, draft: Decision, offers: list[Offer]
    ) -> None:
        """Offer what this decision made due: the cursors that it moved, no others."""
        if not draft.events:
            return
        instance_id = draft.instance_id
        header = get_header(batch.view(instance_id))
        if header is None or is_held(header) or header.phase != "running":
            return
        if isinstance(draft.events[0].body, WorkflowUnpaused):
            self._unpaused.add(instance_id)
            self._offer_all(batch, instance_id, offers, recovering=False)
            return
        for chain in draft.moved:
            self._offer(batch, instance_id, chain, offers, recovering=False)

    def _offer_all(
        self, batch: Batch, instance_id: str, offers: list[Offer], *, recovering: bool
    ) -> None:
        for chain in [chain for chain, _ in get_cursors(batch.view(instance_id))]:
            self._offer(batch, instance_id, chain, offers, recovering=recovering)

    def _offer(
        self,
        batch: Batch,
        instance_id: str,
        chain: str,
        offers: list[Offer],
        *,
        recovering: bool,
    ) -> None:
        if self._cut:  # a slot's event must not stand before the rest of its decision
            self._unoffered.append((instance_id, chain, recovering))
            return
        rows, now = batch.view(instance_id), batch.world.now_ms
        header = get_header(rows)
        owed = None if header is None else owed_of(header, rows, chain, self._registry)
        if owed is None or (owed.deadline_at is not None and owed.deadline_at <= now):
            return
        restart = owed.begun and recovering and self._found.taken_over
        if owed.not_before > now:
            if restart:  # by the clock of the earlier owner it may have begun
                token = (instance_id, owed.run, owed.path, owed.attempt)
                self._desk.will_restart(token)
            return
        offer = self._desk.offer(batch, instance_id, owed, restart=restart)
        if offer is not None:
            offers.append(offer)

    # --- acting -----------------------------------------------------------------------

    def act(self, batch: Batch, offers: list[Offer]) -> None:
        """The batch is live: arm timers, start what is due, stop what is unwanted."""
        self._desk.outcomes.acknowledged()
        for offer in offers:
            self._desk.act(batch.live(offer.job.instance_id), offer)
        for instance_id, staged in batch.staged.items():
            if staged.changes:
                self._follow(instance_id, staged, batch.world.now_ms)

    def _follow(self, instance_id: str, staged: StagedRows, now_ms: int) -> None:
        """Arm, stop and hold back what one instance's live rows say by now."""
        rows, changes = staged.base, staged.changes
        header = get_header(rows)
        if header is None:
            return
        chains = [key[1:] for key in changes if key[0] == "c"]
        begins = "r" in changes  # a new run: what ran belongs to the old one
        everywhere = begins or header.phase != "running"
        self._desk.drop_unwanted(instance_id, rows, None if everywhere else chains)
        if instance_id in self._unpaused:
            self._unpaused.discard(instance_id)
            chains = [chain for chain, _ in get_cursors(rows)]
        for chain in chains:
            self._arm(instance_id, chain, rows, header)
        if is_held(header):
            self._desk.hold(instance_id, rows, now_ms)

    def _arm(self, instance_id: str, chain: str, rows: Rows, header: Header) -> None:
        cursor = get_cursor(rows, chain)
        if cursor is None:
            return
        timer = owed_timer(header, chain, cursor)
        if timer is not None:
            self.timers.arm(timer.due_at, instance_id, timer.chain)
