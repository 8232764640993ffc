"""What became due, offered to the dispatcher while a batch is made.

Theory of operation. A decision offers what the cursors owe that it moved; a take-over
what all cursors of an instance owe. Behind a decision that was cut nothing is offered
before its rest is decided. What found the queue of attempts full is offered again, in
portions: which attempts these were nobody remembers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.decide.owed import is_held, owed_attempt
from sayiir_es.core.model.events import (
    InstanceReleased,
    WorkflowMigrated,
    WorkflowUnpaused,
)
from sayiir_es.core.model.rows import (
    get_cursor,
    get_cursors,
    get_header,
    get_run,
)
from sayiir_es.core.model.run_permit_events import RunPermitTaken
from sayiir_es.core.model.run_permit_rows import get_run_permit
from sayiir_es.core.model.waits import HoldingRunPermit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.core.decide.owed import OwedAttempt
    from sayiir_es.core.draft import Decision
    from sayiir_es.core.graph.lookup import Definitions
    from sayiir_es.core.model.rows import Rows
    from sayiir_es.engine.attempts.attempt import Attempt
    from sayiir_es.engine.attempts.dispatcher import Dispatcher
    from sayiir_es.engine.flow.permits import Permits
    from sayiir_es.engine.owner.batch import Batch
    from sayiir_es.engine.owner.portion import Portion
    from sayiir_es.engine.selected_instances import SelectedInstances
    from sayiir_es.engine.store.port import SnapshotStore

GOES_ON = (WorkflowUnpaused, InstanceReleased, WorkflowMigrated)
"""Events behind which all that an instance owes is offered."""

PORTION = 256
"""Instances looked at in one batch for attempts that were turned away."""


class Offers:
    """Offers of one tenure of one partition.

    Attributes:
        cut: The instance whose decision was cut: its rest comes before all else.
        has_taken_over: Attempts that are not here may have begun elsewhere.
        unoffered: Recovered instances that found the attempts' queue full, in order.
        unpaused: Instances that go on behind the batch that is made.
    """

    def __init__(
        self,
        *,
        store: SnapshotStore,
        dispatcher: Dispatcher,
        permits: Permits,
        selected: SelectedInstances | None,
        taken_over: bool,
    ) -> None:
        self.cut = ""
        self.unoffered: dict[str, None] = {}
        self.unpaused: set[str] = set()
        self._store = store
        self.dispatcher = dispatcher
        self.permits = permits
        self._selected = selected
        self.has_taken_over = taken_over
        self.behind_cut: list[tuple[str, str, bool]] = []
        """Offered once the rest is decided: instance, chain, recovering."""
        self._has_limits = False
        """Whether the attempt at hand may need a permit: it is of such a graph."""
        self._owing: Iterator[str] | None = None
        """Where the search for attempts stands that were turned away."""

    @property
    def is_searching(self) -> bool:
        """Whether some that were turned away are still to be looked for."""
        return bool(self.unoffered or self._owing or self.dispatcher.turned_away)

    def offer_behind_cut(self, batch: Batch, offered: list[Attempt]) -> None:
        """The rest is decided: offer what waited for it."""
        behind_cut, self.behind_cut = self.behind_cut, []
        for instance_id, chain, recovering in behind_cut:
            self.offer(batch, instance_id, chain, offered, recovering=recovering)

    def offer_changed(
        self, batch: Batch, decision: Decision, offered: list[Attempt]
    ) -> None:
        """Offer what this decision made due: the cursors that it moved, no others."""
        if not decision.events:
            return
        instance_id = decision.instance_id
        rows = batch.view(instance_id)
        header = get_header(rows)
        if header is None or header.phase != "running" or is_held(header):
            return
        first = decision.events[0].body
        if isinstance(first, WorkflowMigrated):
            self.dispatcher.take_back_queued(instance_id)
        if isinstance(first, GOES_ON) or (
            isinstance(first, RunPermitTaken) and _begins(rows, first)
        ):
            self.unpaused.add(instance_id)
            recovering = instance_id in self.unoffered
            self.offer_all(batch, instance_id, offered, recovering=recovering)
            self.dispatcher.reports.want_again(instance_id)
            return
        for chain in decision.moved:
            self.offer(batch, instance_id, chain, offered, recovering=False)

    def offer_all(
        self,
        batch: Batch,
        instance_id: str,
        offered: list[Attempt],
        *,
        recovering: bool,
    ) -> None:
        """Offer what every cursor of an instance owes."""
        for chain in [chain for chain, _ in get_cursors(batch.view(instance_id))]:
            self.offer(batch, instance_id, chain, offered, recovering=recovering)

    def offer(
        self,
        batch: Batch,
        instance_id: str,
        chain: str,
        offered: list[Attempt],
        *,
        recovering: bool,
    ) -> None:
        """Offer what one cursor owes, unless it is not to be begun here or now.

        With `recovering` it may have begun under an earlier owner.
        """
        if self.cut:  # a slot's event must not stand before the rest of its decision
            self.behind_cut.append((instance_id, chain, recovering))
            return
        if self._selected is not None and instance_id not in self._selected:
            return
        now, rows = batch.now_ms, batch.view(instance_id)
        owed = self._owed_attempt(batch.context.definitions, rows, chain)
        if owed is None or (owed.deadline_at is not None and owed.deadline_at <= now):
            return
        restart = owed.begun and recovering and self.has_taken_over
        if owed.not_before > now:
            if restart:  # by the clock of the earlier owner it may have begun
                token = (instance_id, owed.run, owed.path, owed.attempt)
                self.dispatcher.will_restart(token)
            return
        if self._has_limits and self.permits.must_wait(batch, instance_id, owed):
            return
        attempt = self.dispatcher.offer(batch, instance_id, owed, restart=restart)
        if attempt is not None:
            offered.append(attempt)

    def offer_lost(self, batch: Batch, offered: list[Attempt]) -> None:
        """Offer again what executors elsewhere have lost, as far as there is room."""
        lost = self.dispatcher.lost_chains
        while lost and not self.cut and not batch.full():
            instance_id, chain = lost.popleft()
            self.offer(batch, instance_id, chain, offered, recovering=False)

    def _owed_attempt(
        self, definitions: Definitions, rows: Rows, chain: str
    ) -> OwedAttempt | None:
        """The attempt that the cursor of `chain` owes, by the graph of its run."""
        header, cursor, run = get_header(rows), get_cursor(rows, chain), get_run(rows)
        if header is None or cursor is None or run is None:
            return None
        graph = definitions.by_digest(run.graph_digest)
        if graph is None:
            return None
        self._has_limits = graph.has_limits
        return owed_attempt(header, cursor, graph)

    def offer_turned_away(
        self, batch: Batch, offered: list[Attempt], portion: Portion
    ) -> None:
        """Offer again, in portions, what found the queue full.

        Which attempts these were nobody remembers: the store's index of instances that
        owe something is read from its start to its end. What is turned away meanwhile
        may stand where that reading has been, and asks for another one.
        """
        for _ in range(PORTION):
            if self.dispatcher.is_full or self.cut or batch.full():
                return
            if portion.is_spent():
                return
            portion.spend()
            if self.unoffered:
                instance_id = next(iter(self.unoffered))
                del self.unoffered[instance_id]
                self.offer_all(batch, instance_id, offered, recovering=True)
                continue
            if self._owing is None:
                if not self.dispatcher.turned_away:
                    return
                self.dispatcher.turned_away = False
                self._owing = iter(
                    self._store.owing() if self._selected is None else self._selected
                )
            instance_id = next(self._owing, "")
            if instance_id:
                self.offer_all(batch, instance_id, offered, recovering=False)
            else:
                self._owing = None


def _begins(rows: Rows, taken: RunPermitTaken) -> bool:
    """Whether a run goes on that waited in a start queue."""
    wait = get_run_permit(rows)
    return isinstance(wait, HoldingRunPermit) and wait.ask == taken.ask
