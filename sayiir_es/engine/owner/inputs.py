"""What came in for one partition, in order of urgency, decided into batches.

Theory of operation. First what a take-over finds, then due timers, outcomes, slots,
forks whose source was read, and commands. `collect` decides them into a batch and
offers the attempts that became due; `act`, after the ack, arms timers, stops what
nobody awaits any more, starts what was offered and reads what forks wait for. Nothing
here touches the log.

One call decides a portion of what is there. A take-over of many instances, or of many
timers that are overdue, goes on over many calls; meanwhile what came in is decided too,
each behind the recovery of its own instance. Where such a call left something behind,
the next one decides what came in first: both get on, also when one fills whole batches.

What the batch had no room for stays where it was, and is decided before all else in the
next one.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sayiir_es.core.decide.owed import is_requested, owed_timer
from sayiir_es.core.model.commands import RecordOutcome
from sayiir_es.core.model.inputs import (
    Commanded,
    Outcome,
    ResumeCut,
    TakenOver,
    TimerDue,
)
from sayiir_es.core.model.rows import (
    chain_of,
    get_cursor,
    get_cursors,
    get_header,
)
from sayiir_es.core.model.waits import Awaiting, Listening
from sayiir_es.engine.owner.following import Following
from sayiir_es.engine.owner.recovery import Recovery, may_owe_anything
from sayiir_es.engine.owner.selection import Selection
from sayiir_es.engine.owner.timers import Timers
from sayiir_es.engine.requests.decided_command import DecidedCommand

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from sayiir_es.core.draft import Decision
    from sayiir_es.core.model.inputs import Input
    from sayiir_es.engine.attempts.attempt import Attempt
    from sayiir_es.engine.attempts.elsewhere import AttemptsElsewhere
    from sayiir_es.engine.attempts.holding import Holding
    from sayiir_es.engine.owner.batch import Batch
    from sayiir_es.engine.owner.claiming import TakeoverContext
    from sayiir_es.engine.owner.feeds import Feeds
    from sayiir_es.engine.owner.offers import Offers
    from sayiir_es.engine.owner.portion import Portion
    from sayiir_es.engine.store.port import SnapshotStore


class Inputs:
    """The inputs of one tenure of one partition, and what follows from them."""

    def __init__(  # noqa: PLR0913 (one parameter a part)
        self,
        *,
        store: SnapshotStore,
        offers: Offers,
        feeds: Feeds,
        takeover: TakeoverContext,
        elsewhere: AttemptsElsewhere | None,
        holding: Holding,
        portion: Portion,
    ) -> None:
        selected = takeover.selected
        self.timers = Timers()
        self.feed, self.sources, self.outbox = feeds
        self._store = store
        self._offers = offers
        self._dispatcher = offers.dispatcher
        self._permits = offers.permits
        self._takeover = takeover
        self._elsewhere = elsewhere
        self._holding = holding
        self._selection = Selection(selected)
        self._recovery = Recovery(() if selected is not None else store.owing())
        self._is_settled = False
        """Whether no instance is to be recovered before something of it is decided."""
        self._portion = portion
        self._was_spent = False
        self._left_behind = False
        """The last portion did not reach all that recovery and timers had to do."""
        self._deferred: deque[tuple[int, str, str]] = deque()
        """Due, and waiting until the commands of the time of the claim are decided."""
        self._following = Following(
            offers, self.timers, elsewhere, holding, self.outbox
        )
        self._first: Callable[[Batch, list[Attempt]], None] | None = None
        """Decides what the last batch had no room for."""

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be decided."""
        is_left = self._left_behind or self._first or self._offers.is_searching
        is_idle = self.recovered and self.sources.is_idle and self.outbox.is_idle
        return is_idle and not (is_left or self.feed.items)

    def has_arrived(self, now_ms: int) -> bool:
        """Whether something is here already that the next batch may take in."""
        if self._dispatcher.has_arrived or self.feed.items or self.sources.ready:
            return True
        has_landed = self.outbox.sent or self._permits.landed
        return bool(has_landed) or self.timers.is_due(now_ms)

    @property
    def is_searching(self) -> bool:
        """Whether attempts that were turned away are to be looked for now."""
        return (
            self._recovery.is_over
            and self._offers.is_searching
            and self._dispatcher.has_room
        )

    @property
    def has_more(self) -> bool:
        """Whether the last portion left something that waits for nothing."""
        return (
            self._left_behind
            or self._was_spent
            or bool(self._selection.to_begin)
            or self._first is not None
            or not self._recovery.is_over
            or self._holding.has_held
            or self._permits.is_recovering
        )

    @property
    def recovered(self) -> bool:
        """Whether all that a take-over finds was decided."""
        return self._recovery.is_over and not self._offers.unoffered

    def begin(self, instance_id: str) -> asyncio.Future[None]:
        """Look at an instance that was selected, before anything else."""
        return self._selection.begin(instance_id)

    def close(self) -> None:
        """The tenure has ended: the next one looks at all that is selected."""
        self._selection.tell_begun()

    def collect(self, batch: Batch, offered: list[Attempt]) -> None:
        """Decide on a portion of what came in, in order of urgency.

        What becomes due is added to `offered`; it is to be undone if this raises.

        Raises:
            LogError: if a command on the wrong partition could not be forwarded.
        """
        self._portion.begin()
        self._is_settled = self._recovery.is_over and self._selection.is_all
        self._permits.begin_batch()
        self.timers.extend(self._store, batch.now_ms)
        self._holding.hold_more(batch.now_ms)
        self._finish_cut(batch, offered)
        first = self._first
        if first is not None and self._is_open(batch):
            self._first = None
            first(batch, offered)
        if self._first is None:
            self._begin_selected(batch, offered)
        if self._first is not None:
            return
        if self._left_behind:
            self._collect_arrived(batch, offered, share=0.5)
            self._collect_due(batch, offered, share=1.0)
        else:
            self._collect_due(batch, offered, share=0.5)
            self._collect_arrived(batch, offered, share=1.0)
        if self.is_searching:
            self._offers.offer_turned_away(batch, offered, self._portion)
        self._was_spent = self._portion.is_spent()

    def _collect_due(
        self, batch: Batch, offered: list[Attempt], *, share: float
    ) -> None:
        """What is owed by the clock: recovery and timers, half of this share each."""
        if not self._recovery.is_over:
            self._collect_recovery(batch, offered, share=share - 0.25)
        if self._deferred or self.timers.is_due(batch.now_ms):
            self._collect_timers(batch, offered, share=share)
        self._left_behind = (
            not self._recovery.is_over
            or self.timers.has_more(batch.now_ms)
            or (bool(self._deferred) and not self._waits_for_commands())
        )

    def _collect_arrived(
        self, batch: Batch, offered: list[Attempt], *, share: float
    ) -> None:
        """What came in: outcomes, what was sent, slots, sources and commands."""
        self._collect_reports(batch, offered, share=share)
        self._collect_sent(batch, offered, share=share)
        self._collect_granted(batch, offered, share=share)
        self._collect_returns(batch, offered, share=share)
        if self._dispatcher.lost_chains:
            self._offers.offer_lost(batch, offered)
        self._collect_sources(batch, offered, share=share)
        self._collect_commands(batch, offered, share=share)

    def _is_open(self, batch: Batch, payload: int | None = None) -> bool:
        """Whether another decision may join the batch: none may pass a cut one."""
        return not (self._offers.cut or batch.full(payload))

    def _is_ready(
        self, batch: Batch, instance_id: str, offered: list[Attempt], payload: int = 0
    ) -> bool:
        """Whether something of the instance may be decided now, in this batch.

        What a take-over left of the instance comes first, out of turn.
        """
        if self._is_settled or not self._must_recover(instance_id):
            return True
        self._recover(batch, instance_id, offered)
        return self._is_open(batch, payload)

    def _must_recover(self, instance_id: str) -> bool:
        """Whether a take-over may have left something of the instance.

        Of instances that are not selected nobody looked what it left.
        """
        if self._selection.is_all:
            return self._recovery.is_due(instance_id)
        is_selected = instance_id in self._selection
        return not is_selected and not self._dispatcher.holds(instance_id)

    def _begin_selected(self, batch: Batch, offered: list[Attempt]) -> None:
        """Go on with what was selected: with what is left, due and owed."""
        to_begin = self._selection.to_begin
        while to_begin and self._is_open(batch) and self._portion.take():
            instance_id = to_begin.popleft()
            if get_header(batch.view(instance_id)) is None:
                continue  # it is about to be started
            self._recover(batch, instance_id, offered)
            for chain in [chain for chain, _ in get_cursors(batch.view(instance_id))]:
                if self._first is not None:
                    break
                self._begin_timer(batch, instance_id, chain, offered)
            if self._first is not None:  # no room: looked at again in the next batch
                to_begin.appendleft(instance_id)
                return

    def _begin_timer(
        self, batch: Batch, instance_id: str, chain: str, offered: list[Attempt]
    ) -> None:
        """End what a selected cursor waits for if it is due, else at its time."""
        rows = batch.view(instance_id)
        cursor, header = get_cursor(rows, chain), get_header(rows)
        timer = header and cursor and owed_timer(header, chain, cursor)
        if cursor is None or not timer:
            return
        is_due = timer.due_at <= batch.now_ms
        is_signal = isinstance(cursor.wait, Listening) and self._waits_for_commands()
        if (
            is_due
            and not is_signal
            and self._is_open(batch)
            and self._selection.ends(instance_id, timer.due_at, cursor)
        ):
            self._decide_timer(batch, (timer.due_at, instance_id, chain), offered)
        else:
            self.timers.arm(timer.due_at, instance_id, chain)

    def _decide(
        self, batch: Batch, input_: Input, offered: list[Attempt]
    ) -> Decision | None:
        """Decide, and the rest of it as long as the batch has room.

        None if the batch has no room for it: then it is to be the first of the next.
        """
        decision = batch.decide(input_)
        if decision is None:
            return None
        offers = self._offers
        if decision.cut:
            offers.cut = decision.instance_id
        if decision.events:
            self._permits.note(decision)
        if offers.cut or offers.behind_cut:
            self._finish_cut(batch, offered)
        if decision.events:
            offers.offer_changed(batch, decision, offered)
        return decision

    def _finish_cut(self, batch: Batch, offered: list[Attempt]) -> None:
        offers = self._offers
        while offers.cut and not batch.full():
            instance_id, offers.cut = offers.cut, ""
            resumed = self._decide(batch, ResumeCut(instance_id=instance_id), offered)
            if resumed is None:
                offers.cut = instance_id
        if offers.behind_cut and not offers.cut:
            offers.offer_behind_cut(batch, offered)

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
        if not may_owe_anything(rows):
            self._recovery.recovered(instance_id)
            return
        if self._decide(batch, ResumeCut(instance_id=instance_id), offered) is None:
            self._offers.cut = instance_id
        if self._offers.cut:
            self._recovery.repeat(instance_id)
            return
        # Attempts that are here were handed out behind this, in an earlier tenure.
        if self._offers.has_taken_over and not self._dispatcher.holds(instance_id):
            found = self._decide(batch, TakenOver(instance_id=instance_id), offered)
            if found is None:
                self._first = lambda b, o: self._recover(b, instance_id, o)
            if found is None or found.cut:
                self._recovery.repeat(instance_id)
                return
            if self._elsewhere is not None:
                self._elsewhere.adopt(instance_id, batch.view(instance_id))
        self._recovery.recovered(instance_id)
        if self._dispatcher.is_full:
            self._offers.unoffered[instance_id] = None
        else:
            self._offers.offer_all(batch, instance_id, offered, recovering=True)

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
            if not self._selection.ends(instance_id, due_at, cursor):
                continue  # left to whoever runs it next
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
        if self._decide(batch, due, offered) is None:
            self._first = lambda b, o: self._decide_timer(b, timer, o)
            return
        if isinstance(cursor.wait, Awaiting) and is_requested(header):
            self._holding.hold(
                instance_id, batch.view(instance_id), batch.now_ms, [chain]
            )
        if instance_id not in self._offers.unoffered:  # else it may run elsewhere
            self._offers.offer(batch, instance_id, chain, offered, recovering=False)

    def _waits_for_commands(self) -> bool:
        """Whether a command that stood there at the claim is still to be decided."""
        return self.feed.next_undecided < self._takeover.commands_at_claim

    # --- what came in -----------------------------------------------------------------

    def _collect_reports(
        self, batch: Batch, offered: list[Attempt], *, share: float
    ) -> None:
        reports = self._dispatcher.reports
        while (attempt := reports.next) is not None:
            if not self._is_open(batch, attempt.outcome_bytes):
                return
            if not self._portion.take(share):
                return
            self._decide_report(batch, offered)

    def _decide_report(self, batch: Batch, offered: list[Attempt]) -> None:
        """Decide on the next outcome."""
        reports = self._dispatcher.reports
        attempt = reports.next
        if attempt is None:
            return
        instance_id, size = attempt.instance_id, attempt.outcome_bytes
        if not self._is_ready(batch, instance_id, offered, size):
            return
        if isinstance(attempt.outcome, Outcome) and not self._is_open_in_time(
            batch, instance_id, attempt.chain, offered, size
        ):
            return
        if self._decide(batch, reports.take(), offered) is None:
            reports.put_back()
            self._first = self._decide_report

    def _is_open_in_time(
        self,
        batch: Batch,
        instance_id: str,
        chain: str,
        offered: list[Attempt],
        payload: int,
    ) -> bool:
        """Whether an outcome of so many bytes may be decided now, in this batch.

        The deadline of its attempt comes first, if that is over: its timer may stand
        far behind others that are overdue.
        """
        cursor = get_cursor(batch.view(instance_id), chain)
        if cursor is None or not isinstance(cursor.wait, Awaiting):
            return True
        deadline_at = cursor.wait.deadline_at
        if deadline_at is None or deadline_at > batch.now_ms:
            return True
        self._decide_timer(batch, (deadline_at, instance_id, chain), offered)
        return self._first is None and self._is_open(batch, payload)

    def _collect_sent(
        self, batch: Batch, offered: list[Attempt], *, share: float
    ) -> None:
        sent = self.outbox.sent
        while sent and self._is_open(batch) and self._portion.take(share):
            self._decide_sent(batch, offered)

    def _decide_sent(self, batch: Batch, offered: list[Attempt]) -> None:
        """Record that the next message is in the log."""
        message = self.outbox.sent[0]
        if not self._is_ready(batch, message.instance_id, offered):
            return
        if self._decide(batch, message, offered) is None:
            self._first = self._decide_sent
            return
        self.outbox.take()

    def _collect_granted(
        self, batch: Batch, offered: list[Attempt], *, share: float
    ) -> None:
        while self._dispatcher.next_granted is not None:
            if not (self._is_open(batch, 0) and self._portion.take(share)):
                return
            self._begin_granted(batch, offered)

    def _begin_granted(self, batch: Batch, offered: list[Attempt]) -> None:
        """Decide on the start of the next attempt that has its slot."""
        dispatcher = self._dispatcher
        attempt = dispatcher.next_granted
        if attempt is None or not self._is_ready(batch, attempt.instance_id, offered):
            return
        if dispatcher.begin(batch, dispatcher.take_granted()):
            offered.append(attempt)
        elif batch.closed:
            self._first = self._begin_granted

    def _collect_returns(
        self, batch: Batch, offered: list[Attempt], *, share: float
    ) -> None:
        """Record that permits are on their way back to their limits."""
        landed = self._permits.landed
        while landed and self._is_open(batch, 0) and self._portion.take(share):
            if not self._is_ready(batch, landed[0].instance_id, offered):
                return
            if self._decide(batch, landed[0], offered) is None:
                return
            self._permits.recorded(landed.popleft())

    def _collect_sources(
        self, batch: Batch, offered: list[Attempt], *, share: float
    ) -> None:
        """Answer deferred forks whose source was read."""
        ready = self.sources.ready
        while ready and self._is_open(batch, ready[0][1].size):
            if not self._portion.take(share):
                return
            self._decide_source(batch, offered)

    def _decide_source(self, batch: Batch, offered: list[Attempt]) -> None:
        """Answer the next deferred fork; it stays if the batch has no room."""
        deferred, source = self.sources.ready[0]
        instance_id = deferred.command.instance_id
        if not self._is_ready(batch, instance_id, offered, source.size):
            return
        commanded = Commanded(
            command=deferred.command, position=deferred.position, source=source
        )
        record = len(batch.records)
        decision = self._decide(batch, commanded, offered)
        if decision is None:
            self._first = self._decide_source
            return
        batch.decided.append(
            DecidedCommand(deferred.position.offset, decision.events[0], record, None)
        )
        self.sources.take()

    def _collect_commands(
        self, batch: Batch, offered: list[Attempt], *, share: float
    ) -> None:
        items = self.feed.items
        while items and self._is_open(batch, items[0].payload):
            if not self._portion.take(share):
                return
            item = items[0]
            if item.redirect is not None:
                if not item.redirect.done():
                    return
                self._answer_redirect(batch, offered)
                continue
            self._decide_command(batch, offered)

    def _decide_command(self, batch: Batch, offered: list[Attempt]) -> None:
        """Decide on the next command; it stays in the feed if the batch has no room."""
        item = self.feed.items[0]
        assert item.command is not None
        instance_id = item.command.instance_id
        if not self._is_ready(batch, instance_id, offered, item.payload):
            return
        if isinstance(item.command, RecordOutcome):
            chain = chain_of(item.command.path)
            if not self._is_open_in_time(
                batch, instance_id, chain, offered, item.payload
            ):
                return
        commanded = Commanded(
            command=item.command,
            position=item.position,
            known_origin=batch.knows_origin(item.position, item.origin_end),
            source_last=self.sources.last_sequence(item.command, batch),
            deferred=len(batch.deferred),
            running=self._dispatcher.running_of(item.command),
            traceparent=item.traceparent,
        )
        record = len(batch.records)
        decision = self._decide(batch, commanded, offered)
        if decision is None:
            self._first = self._decide_command
            return
        batch.decided.append(
            DecidedCommand(
                item.position.offset, decision.events[0], record, item.reply_to
            )
        )
        self.feed.take()

    def _answer_redirect(self, batch: Batch, _offered: list[Attempt]) -> None:
        """Record the next command's redirect, which has been made."""
        item = self.feed.items[0]
        assert item.redirect is not None
        record = len(batch.records)
        event = batch.add_redirect(item.position, item.redirect.result())
        if event is None:
            self._first = self._answer_redirect
            return
        batch.decided.append(
            DecidedCommand(item.position.offset, event, record, item.reply_to)
        )
        self.feed.take()

    # --- acting -----------------------------------------------------------------------

    def act(self, batch: Batch, offered: list[Attempt]) -> None:
        """The batch is live: arm timers, start what is due, stop what is unwanted."""
        self._dispatcher.acknowledged()
        self.outbox.acknowledged()
        if batch.decided:
            self._following.tell_returned(batch.decided)
        self._dispatcher.start_waiting()
        self.sources.follow(batch.deferred)
        for attempt in offered:
            self._dispatcher.dispatch(batch.live(attempt.instance_id), attempt)
        self._following.follow_batch(batch)
        self._permits.act()
        if not self._selection.to_begin:
            self._selection.tell_begun()
