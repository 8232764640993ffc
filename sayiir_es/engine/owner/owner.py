"""The owner of one partition: decide → append → ack → evolve → act, for ever.

Theory of operation. `run` is one tenure: fold to the end, claim, fold to the claim,
find what is owed, then serve until something ends the tenure. Serving is one loop. What
came in (outcomes, due timers, slots, commands) is decided into one batch, each decision
on the state that those before it staged; the batch is appended; after the ack, and only
then, it becomes live and is acted on. One batch is in flight, never two.

Two tenures of one process on one partition may follow each other without another's
claim between them: then attempts that run go on. Otherwise a new tenure is a take-over:
what ran is dropped, and what may have begun elsewhere is handed out again.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from sayiir_es.core.draft import DecisionContext
from sayiir_es.core.fast_frozen import maker
from sayiir_es.core.model.errors import LogUnavailableError, OffsetGoneError
from sayiir_es.core.model.position import advanced, skipped
from sayiir_es.engine.attempts.dispatcher import Dispatcher
from sayiir_es.engine.attempts.elsewhere import AttemptsElsewhere
from sayiir_es.engine.attempts.holding import Holding
from sayiir_es.engine.commands.feed import CommandFeed
from sayiir_es.engine.commands.prefetch import Prefetch
from sayiir_es.engine.commands.source_reads import SourceReads
from sayiir_es.engine.definitions.accepted_loss import commands_lost, loss_event
from sayiir_es.engine.flow.permits import Permits
from sayiir_es.engine.owner.alarm import Alarm
from sayiir_es.engine.owner.batch import Batch
from sayiir_es.engine.owner.claim_records import ClaimRecords, extend_digest
from sayiir_es.engine.owner.claiming import Claimer, ClaimResult, TakeoverContext
from sayiir_es.engine.owner.decision_spans import new_decision_spans
from sayiir_es.engine.owner.event_encoder import EventEncoder
from sayiir_es.engine.owner.failure_lines import log_failures
from sayiir_es.engine.owner.feeds import Feeds
from sayiir_es.engine.owner.inputs import Inputs
from sayiir_es.engine.owner.offers import Offers
from sayiir_es.engine.owner.outbox import Outbox
from sayiir_es.engine.owner.portion import Portion
from sayiir_es.engine.owner.tenure import to_record
from sayiir_es.engine.owner.write_behind import WriteBehind
from sayiir_es.engine.publishing.publisher import Publisher
from sayiir_es.engine.requests.reporting import Reporter
from sayiir_es.engine.requests.responder import Responder
from sayiir_es.engine.worker_state import OwnerState
from sayiir_es.log.port import Topic
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sayiir_es.core.model.events import Event
    from sayiir_es.engine.attempts.attempt import Attempt, AttemptOwner
    from sayiir_es.engine.owner.tenure import Tenure
    from sayiir_es.engine.ports import Ports
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.engine.worker_settings import OwnerSettings

logger = get_logger(__name__)

_new_context = maker(DecisionContext)

_UNTRACED = contextlib.nullcontext()

SLEEP_MOST_S = 1.0
"""How long an owner with nothing to do sleeps before it looks around."""

SETTLE_LOOK_S = 0.001
"""How often, in seconds, an owner that settles looks whether it has decided."""

CONTROL_RENEWAL_S = 60.0
"""A reader that passed foreign control records renews the claim at most this often."""


class Owner:
    """Decides for one partition; `run` is one tenure."""

    def __init__(
        self,
        partition: int,
        *,
        ports: Ports,
        store: SnapshotStore,
        settings: OwnerSettings,
        refresh_definitions: Callable[[], Awaitable[None]],
        lapses: Callable[[], int],
    ) -> None:
        self.partition = partition
        self.serving = False
        self.quiet = asyncio.Event()
        """Set while it serves and has nothing to decide; cleared while it decides."""
        self.store = store
        self._log = ports.log
        self._registry = ports.registry
        self._clock = ports.clock
        self._settings = settings
        self._refresh_definitions = refresh_definitions
        self._prefetch = Prefetch(ports, settings.limits, refresh_definitions)
        self._lapses = lapses
        self._wake = asyncio.Event()
        self._alarm = Alarm(self.look)
        self._stopping = False
        self.dispatcher = Dispatcher(
            executor=ports.executor,
            registry=ports.registry,
            store=store,
            settings=settings,
            wake=self._wake.set,
            partition=partition,
            elsewhere=ports.elsewhere,
        )
        self.permits = self._new_permits(ports)
        self._holding = Holding(
            self.dispatcher,
            ports.executor,
            ports.elsewhere,
            store=store,
            grace_s=settings.cancel_grace_s,
        )
        self._elsewhere = self._new_elsewhere(ports, settings)
        self._tenure: Tenure | None = None
        self._inputs: Inputs | None = None
        self._publisher: Publisher | None = None
        self._responder: Responder | None = None
        self._ports = ports
        self._lapses_seen = 0
        self._look_requested = False
        self._unrecovered = True
        """A take-over is unfinished, as it is at first: what ran before was dropped."""
        self._decided_at_s = float("-inf")
        self._turn_began_s = ports.clock.monotonic_s()
        self._writing = WriteBehind(store, ports.clock)
        self._claims = ClaimRecords.for_owner(partition, settings)
        self._renewed_at_s = 0.0
        self.serving_since_ms = 0
        """When the last tenure began to serve."""
        self._now_ms = 0

    def _new_permits(self, ports: Ports) -> Permits:
        return Permits(
            log=ports.log,
            partition=self.partition,
            store=self.store,
            registry=ports.registry,
            dispatcher=self.dispatcher,
            wake=self._wake.set,
        )

    def _new_elsewhere(
        self, ports: Ports, settings: OwnerSettings
    ) -> AttemptsElsewhere | None:
        """What executors elsewhere have of it; None where nobody places any there."""
        if ports.elsewhere is None:
            return None
        return AttemptsElsewhere(
            self.dispatcher,
            ports.elsewhere,
            registry=ports.registry,
            store=self.store,
            settings=settings,
            look=self.look,
        )

    # --- from outside -----------------------------------------------------------------

    def stop(self) -> None:
        """Withdraw what runs, and end the tenure once all outcomes are acknowledged."""
        self.drain()
        self.dispatcher.withdraw_running()
        self._stopping = True
        self._wake.set()

    def drain(self) -> None:
        """Begin no further attempt; decide on everything else as before."""
        self.dispatcher.drain()

    async def begin(self, instance_id: str) -> None:
        """Go on with an instance that was selected; until what was due is decided."""
        if self._inputs is not None:
            begun = self._inputs.begin(instance_id)
            self._wake.set()
            await begun

    async def settle(self) -> None:
        """Withdraw what runs, and wait until all outcomes are acknowledged.

        Returns too when it serves no longer. No attempt may begin any more.
        """
        self.dispatcher.withdraw_running()
        while (  # noqa: ASYNC110 (no event says that the last one is acknowledged)
            self.serving and self.dispatcher.has_outcomes
        ):
            await asyncio.sleep(SETTLE_LOOK_S)

    @property
    def idle(self) -> bool:
        """Whether nothing is queued, running or waiting to be decided."""
        is_idle = not self.dispatcher.busy and self.permits.is_idle
        return is_idle and (self._inputs is None or self._inputs.idle)

    def observe(self) -> OwnerState:
        """How far it is; reads neither the log nor the store's files."""
        position, inputs, publisher = self.store.position, self._inputs, self._publisher
        overdue_ms = inputs.timers.overdue_ms(self._clock.now_ms()) if inputs else 0
        return OwnerState(
            offset=position.offset,
            next_command=position.next_command,
            turn_age_s=self._clock.monotonic_s() - self._turn_began_s,
            queued_commands=len(inputs.feed.items) if inputs else 0,
            command_bytes=inputs.feed.queued_bytes if inputs else 0,
            outcome_bytes=self.dispatcher.reports.waiting.size,
            timer_overdue_s=overdue_ms / 1000,
            snapshot_backlog=publisher.backlog if publisher else 0,
            attempts_elsewhere=self.attempts_elsewhere,
            attempts_queued=self.queued_attempts,
            permits_in_use=self.permits.use.in_use,
            permits_waiting=self.permits.use.waiting,
            runs_by_workflow=self.permits.runs.by_workflow,
        )

    @property
    def attempts_owner(self) -> AttemptOwner:
        """Whose attempts are those of the partition."""
        return self.dispatcher

    @property
    def is_recovering(self) -> bool:
        """Whether it still looks through what is owed behind a take-over."""
        return self._inputs is not None and not self._inputs.recovered

    @property
    def queued_attempts(self) -> int:
        """How many attempts of the partition wait for a slot."""
        return self.dispatcher.queued

    @property
    def attempts_elsewhere(self) -> int:
        """How many attempts of the partition executors elsewhere have."""
        return self.dispatcher.leases.elsewhere

    def rested_s(self) -> float:
        """How many seconds ago it decided on anything."""
        return self._clock.monotonic_s() - self._decided_at_s

    def look(self) -> None:
        """Compare the log's end with what is expected, before the next append.

        The tenure ends with `FencedError` if another claim stands there.
        """
        self._look_requested = True
        self._wake.set()

    # --- a tenure ---------------------------------------------------------------------

    async def run(self) -> None:
        """Own the partition until stopped.

        Raises:
            FencedError: if another process claimed it.
            LogError: if the log does not answer, or an append is uncertain.
            CommandsLostError: if commands are gone, and nobody has accepted that.
            HistoryError: if the partition must stop: its events cannot be folded.
        """
        self._watch_code()
        try:
            claimer = Claimer(
                self._log,
                self.store,
                self.partition,
                event=lambda: self._claims.claim(self.store.position, self._now()),
                folded=self._writing.write_if_due,
                check=self._check_loss,
            )
            claimed = await claimer.claim(self._settings.owner_id)
            self._tenure = claimed.tenure
            await self._record_loss(claimed)
            inputs = await self._recover(claimed)
            self.serving = self.dispatcher.serving = True
            await self._serve(claimed.tenure, inputs)
        finally:
            self.serving = self.dispatcher.serving = False
            self._alarm.close()
            self.quiet.clear()
            self._unwatch_code()
            await self._end_tenure()

    def _watch_code(self) -> None:
        """Hear of code that comes to this process, or to executors elsewhere."""
        self._registry.watch(self.dispatcher.code_added)
        if self._elsewhere is not None:
            self._elsewhere.watch()

    def _unwatch_code(self) -> None:
        self._registry.unwatch(self.dispatcher.code_added)
        if self._elsewhere is not None:
            self._elsewhere.unwatch()

    async def close(self) -> None:
        """Drop attempts and close the store."""
        await self.dispatcher.drop_all()
        await self.permits.close()
        await self._writing.close()

    async def _end_tenure(self) -> None:
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            await publisher.close(publish=self._stopping)
        responder, self._responder = self._responder, None
        if responder is not None:
            await responder.close()
        if self._inputs is not None:
            self._inputs.close()
            await self._inputs.feed.close()
            await self._inputs.sources.close()
            await self._inputs.outbox.close()
            self._inputs = None
        if self._tenure is not None:
            await self._tenure.appender.close()
            self._tenure = None
        if self._stopping:
            await self.dispatcher.drop_all()

    async def _recover(self, claimed: ClaimResult) -> Inputs:
        position = self.store.position
        if claimed.taken_over:
            await self.dispatcher.drop_all()
            self._unrecovered = True
        await self.permits.begin_tenure()
        self._lapses_seen = self._lapses()
        await self._refresh_definitions()
        feed = CommandFeed(
            self._log,
            self.partition,
            position.next_command,
            origins=position.origins,
            prefetch=self._prefetch.prefetch,
            wake=self._wake.set,
        )
        commands_end = await self._log.end_offset(Topic.COMMANDS, self.partition)
        self._inputs = Inputs(
            store=self.store,
            offers=self._make_offers(),
            feeds=Feeds(feed, self._make_sources(), self._make_outbox()),
            takeover=TakeoverContext(
                commands_at_claim=commands_end,
                selected=self._settings.selected,
            ),
            elsewhere=self._elsewhere,
            holding=self._holding,
            portion=Portion(self._clock, self._settings.turn_units),
        )
        feed.start()
        self._inputs.outbox.start()
        self._inputs.sources.follow(position.deferred)
        if self._settings.snapshots:
            self._publisher = Publisher(
                self._log, self.partition, self.store, self._registry
            )
        self.serving_since_ms = self._clock.now_ms()
        self._responder = self._make_responder()
        self._responder.start()
        self._renewed_at_s = self._clock.monotonic_s()
        logger.info(
            "partition.claimed",
            partition=self.partition,
            offset=position.claim,
            taken_over=claimed.taken_over,
        )
        self._ports.meter.claimed(taken_over=claimed.taken_over)
        return self._inputs

    def _make_sources(self) -> SourceReads:
        return SourceReads(
            self.partition,
            self._log.partitions,
            read=self._prefetch.read_source,
            limit_s=self._settings.fork_read_s,
            wake=self._wake.set,
        )

    def _make_outbox(self) -> Outbox:
        return Outbox(
            self._log,
            self.partition,
            self.store,
            limits=self._settings.limits,
            selected=self._settings.selected,
            wake=self._wake.set,
        )

    def _make_offers(self) -> Offers:
        selected = self._settings.selected
        return Offers(
            store=self.store,
            dispatcher=self.dispatcher,
            permits=self.permits,
            selected=selected,
            # Of an instance that was not selected before, nobody knows who began it.
            taken_over=self._unrecovered or selected is not None,
        )

    def _make_responder(self) -> Responder:
        return Responder(
            self._ports,
            self.partition,
            self.store,
            reporter=Reporter(
                partition=self.partition,
                ports=self._ports,
                store=self.store,
                settings=self._settings,
                owner=self,
            ),
            runs_attempts=self._settings.runs_attempts,
            runs_all=self._settings.runs_attempts and self._settings.selected is None,
            elsewhere=self._elsewhere,
        )

    # --- the loop ---------------------------------------------------------------------

    async def _serve(self, tenure: Tenure, inputs: Inputs) -> None:
        encoder, meter = EventEncoder(), self._ports.meter
        while not self._stopping or self.dispatcher.has_outcomes:
            self._wake.clear()
            self._turn_began_s = self._clock.monotonic_s()
            if self._may_look_or_renew(tenure):
                await self._look_if_due(tenure)
                await self._renew_if_due(tenure, inputs)
            self.permits.recover()
            spans = new_decision_spans(self._log, self.partition)
            context = self._new_context(tenure, encoder)
            batch = Batch(self.store, context, encoder, spans)
            offered: list[Attempt] = []
            try:
                began_s = meter.now_s()
                inputs.collect(batch, offered)
                if count := len(batch.records):
                    decided_s = meter.now_s()
                    with spans.around_append(count) if spans else _UNTRACED:
                        batch.commit(await tenure.append(batch.records))
                    self._decided_at_s = self._clock.monotonic_s()
                    meter.batch_appended(
                        batch,
                        decide_s=decided_s - began_s,
                        append_s=meter.now_s() - decided_s,
                    )
            except BaseException:
                self.dispatcher.undo(offered)
                raise
            inputs.act(batch, offered)
            log_failures(batch.failures, batch.live, meter)
            if self._responder is not None:
                self._responder.tell_batch(batch.base, batch.decided, batch.staged)
            if self._publisher is not None:
                self._publisher.add_changes(batch.staged, len(batch.records))
            self._unrecovered = self._unrecovered and not inputs.recovered
            await self._writing.write_if_due()
            await self._check_feed(inputs)
            # Others have a turn between two portions; and an attempt that ends at once
            # is in the next batch then.
            if offered or inputs.has_more:
                await asyncio.sleep(0)
            if self._may_sleep(batch, inputs):
                self.quiet.set()
                await self._sleep(inputs)
                self.quiet.clear()

    def _may_sleep(self, batch: Batch, inputs: Inputs) -> bool:
        """Whether behind this batch nothing is to be decided before something comes."""
        if self._wake.is_set() or inputs.has_more or inputs.is_searching:
            return False
        is_next = self._stopping or inputs.has_arrived(batch.now_ms)
        return not (batch.records and is_next)

    def _new_context(self, tenure: Tenure, encoder: EventEncoder) -> DecisionContext:
        """The context of all decisions of one batch."""
        return _new_context(
            claim=tenure.claim,
            now_ms=self._now(),
            definitions=self._registry,
            limits=self._settings.limits,
            batch_bytes=self._log.max_batch_bytes,
            size_of=encoder.size_of,
            entropy=self._settings.entropy,
        )

    async def _check_loss(self, commands_start: int) -> None:
        """Refuse to go on from that command, unless what is before it is not missed.

        Raises:
            CommandsLostError: if commands are gone, and nobody has accepted that.
        """
        next_command = self.store.position.next_command
        if commands_start <= next_command:
            return
        await self._refresh_definitions()
        loss = self._registry.get_accepted_loss(self.partition)
        if loss is None or loss.end_offset < commands_start:
            raise commands_lost(self.partition, next_command, commands_start)

    async def _record_loss(self, claimed: ClaimResult) -> None:
        """Record that commands are passed which are gone, if somebody accepted it."""
        position, end = self.store.position, claimed.commands_start
        loss = self._registry.get_accepted_loss(self.partition)
        if end <= position.next_command or loss is None:
            return
        first, claim = position.next_command, claimed.tenure.claim
        event = loss_event(loss, first, end, claim=claim, at_ms=self._now())
        await self._append_alone(claimed.tenure, event)
        logger.warning(
            "commands.loss_accepted",
            partition=self.partition,
            offset=first,
            reason=f"commands {first} to {end - 1} are passed: "
            f"{loss.accepted_by} accepted their loss",
        )

    async def _append_alone(self, tenure: Tenure, event: Event) -> int:
        """Append an event of the partition, fold it, and return its offset."""
        record = to_record(event)
        base = await tenure.append([record])
        position = self.store.position
        digest = extend_digest(position.digest, base, [record])
        appended = advanced(
            skipped(position, base), event, digest, self._log.partitions
        )
        self.store.advance(appended)
        return base

    async def _check_feed(self, inputs: Inputs) -> None:
        """Raise what ended the reading of commands, or the sending, if any did."""
        inputs.outbox.check()
        self.permits.check()
        try:
            inputs.feed.check()
        except OffsetGoneError as error:
            start = await self._log.start_offset(Topic.COMMANDS, self.partition)
            next_command = inputs.feed.next_offset
            if start > next_command:
                raise commands_lost(self.partition, next_command, start) from error
            raise

    def _may_look_or_renew(self, tenure: Tenure) -> bool:
        """Whether one of the next two may be due: mostly neither is."""
        age_s = self._turn_began_s - self._renewed_at_s
        return (
            self._look_requested
            or self._lapses() != self._lapses_seen
            or age_s >= CONTROL_RENEWAL_S
            or self._claims.due(tenure.records, age_s)
        )

    async def _look_if_due(self, tenure: Tenure) -> None:
        """Rule 7 after a lapse; and now and then, so that an idle owner notices too."""
        lapses, requested = self._lapses(), self._look_requested
        self._look_requested = False
        if lapses != self._lapses_seen:
            self._lapses_seen = lapses
            await tenure.look_at_end()
        elif requested:
            with contextlib.suppress(LogUnavailableError):
                await tenure.look_at_end()
                if self._elsewhere is not None:
                    self._elsewhere.tell_unwanted()

    async def _sleep(self, inputs: Inputs) -> None:
        wait_ms = inputs.timers.next_at() - self._clock.now_ms()
        self._alarm.set(min(max(wait_ms / 1000, 0.0), SLEEP_MOST_S))
        await self._wake.wait()
        self._alarm.stop()

    async def _renew_if_due(self, tenure: Tenure, inputs: Inputs) -> None:
        """Renew the claim if that is due, or behind foreign control records."""
        now_s, position = self._clock.monotonic_s(), self.store.position
        is_behind_controls = (
            not inputs.feed.items
            and inputs.feed.next_offset > position.next_command
            and now_s - self._renewed_at_s >= CONTROL_RENEWAL_S
        )
        due = self._claims.due(tenure.records, now_s - self._renewed_at_s)
        if not due and not is_behind_controls:
            return
        self._renewed_at_s = now_s
        next_command = inputs.feed.next_offset if is_behind_controls else None
        claimed = self._claims.claim(position, self._now(), next_command=next_command)
        tenure.claim = await self._append_alone(tenure, claimed)
        tenure.records = 0

    def _now(self) -> int:
        """Wall time that never runs back: what was due once stays due."""
        position = self.store.position
        self._now_ms = max(self._now_ms, self._clock.now_ms(), position.at)
        return self._now_ms
