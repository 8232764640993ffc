"""The attempts of one partition that executors elsewhere have: heard, lost, adopted.

Theory of operation. The log says who has an attempt, and the hash of its secret; an
executor tells from time to time what it has, and proves it with the secrets. From both
it is decided who counts: what is told of and nobody awaits, its executor is told of;
what is awaited and not told of, is lost after its lease. A new owner waits one lease
for what the log says to be elsewhere, before it is lost.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from sayiir_es.core.decide.attempts import worker_lost
from sayiir_es.core.decide.owed import is_requested, is_stopping
from sayiir_es.core.model.inputs import Handout
from sayiir_es.core.model.rows import chain_of, get_cursors, get_header, get_run
from sayiir_es.core.model.waits import Awaiting
from sayiir_es.core.nodes import task
from sayiir_es.engine.attempts.attempt import Attempt, State
from sayiir_es.engine.attempts.awaited import is_awaited
from sayiir_es.engine.attempts.outcomes import OutcomeMaker
from sayiir_es.engine.attempts.portions import finish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sayiir_es.core.model.rows import Cursor, Rows
    from sayiir_es.engine.attempts.attempt import Token
    from sayiir_es.engine.attempts.dispatcher import Dispatcher
    from sayiir_es.engine.attempts.remote.placement import PlacingExecutor
    from sayiir_es.engine.definitions.registry import Registry
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.engine.worker_settings import OwnerSettings
    from sayiir_es.wire.executor_requests import HeldAttempt, OfferSlots, Progress


PORTION = 1_000
"""So many attempts are looked at in some milliseconds."""

UNWANTED_MAX = 10_000
"""Of so many attempts that nobody wants executors are told; of more when they tell of
them again."""


class AttemptsElsewhere:
    """What executors elsewhere have of one partition."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        placing: PlacingExecutor,
        *,
        registry: Registry,
        store: SnapshotStore,
        settings: OwnerSettings,
        look: Callable[[], None],
    ) -> None:
        """Hear from now on of what is lost.

        `look` lets the owner look whether it still is one; `tell_unwanted` follows.
        """
        self._look = look
        self._unwanted: dict[tuple[str, Token], None] = {}
        """What executors have that nobody wants, as far as this owner knows."""
        self._dispatcher = dispatcher
        self._placing = placing
        self._registry = registry
        self._store = store
        self._limits = settings.limits
        self._grace_s = settings.cancel_grace_s
        self._outcomes = OutcomeMaker("", settings.limits)
        self._offering: asyncio.Task[None] | None = None
        dispatcher.leases.listener = self

    def watch(self) -> None:
        """Hear of executors that run what none before them ran."""
        for notify in (self._dispatcher.code_added, self.fleet_came):
            self._placing.table.watch(notify)

    def unwatch(self) -> None:
        """Hear of them no more; what was heard of attempts counts for nothing."""
        self._unwanted.clear()
        for notify in (self._dispatcher.code_added, self.fleet_came):
            self._placing.table.unwatch(notify)

    def offer(self, offer: OfferSlots) -> None:
        """An executor takes attempts of this partition."""
        self._placing.offer(self._dispatcher.partition, offer)

    def find_taken(self, token: Token) -> str:
        """Whose slots an attempt waits for, in words; empty where it does not wait."""
        attempt = self._dispatcher.find(token)
        if attempt is None or attempt.state is not State.QUEUED:
            return ""
        return self._placing.name_takers(attempt)

    def fleet_came(self) -> None:
        """Executors came that run other tasks than those before: give them what queues.

        In portions: a hundred thousand may queue.
        """
        if self._offering is not None:
            self._offering.cancel()
        offering = self._offer_queued()
        for _ in offering:  # a first portion at once; mostly that is all
            self._offering = asyncio.create_task(finish(offering), name="offer-queued")
            return

    def _offer_queued(self) -> Iterator[None]:
        """Let what queues for a slot of this process wait for others, too."""
        table = self._placing.table
        for seen, attempt in enumerate(self._dispatcher.all_attempts(), 1):
            runnable = attempt.runnable
            is_here = attempt.state is State.QUEUED and attempt.job is None
            if is_here and runnable is not None:
                job = self._registry.job(runnable.graph.digest, attempt.path)
                if job is not None and table.is_run(job):
                    self._placing.queue_elsewhere(attempt, job)
            if seen % PORTION == 0:
                yield

    def adopt(self, instance_id: str, rows: Rows) -> None:
        """Behind a take-over: wait for what executors elsewhere have."""
        header = get_header(rows)
        if header is None or header.phase != "running":
            return
        for _, cursor in get_cursors(rows):
            attempt = self._adopted(instance_id, rows, cursor)
            if attempt is None or self._dispatcher.find(attempt.token) is not None:
                continue
            wait = cursor.wait
            assert isinstance(wait, Awaiting)
            handout = Handout(
                executor=wait.executor,
                secret_hash=wait.secret_hash,
                lease_ms=wait.lease_ms,
            )
            self._placing.adopt(attempt, handout)
            self._dispatcher.put_running(attempt)
            if is_stopping(header):
                self._placing.request_cancel(attempt, self._grace_s)

    def _adopted(self, instance_id: str, rows: Rows, cursor: Cursor) -> Attempt | None:
        """The attempt that a cursor awaits from elsewhere; None: from nobody there."""
        header, run, wait = get_header(rows), get_run(rows), cursor.wait
        if header is None or run is None or not isinstance(wait, Awaiting):
            return None
        if not wait.secret_hash or task.is_withdrawn(header, wait):
            return None
        attempt = Attempt(
            instance_id=instance_id,
            run=header.run,
            path=cursor.path,
            number=wait.attempt,
            owner=self._dispatcher,
            lineage=run.lineage,
            job=self._registry.job(run.graph_digest, cursor.path),
        )
        attempt.deadline_at_ms = wait.deadline_at
        return attempt

    def returned(self, instance_id: str, path: str, *, ran: bool) -> None:
        """The log holds what an executor elsewhere has told of its attempt."""
        for attempt in self._dispatcher.of_chain(instance_id, chain_of(path)):
            if attempt.is_elsewhere:
                self._placing.returned(attempt, ran=ran)

    def progress(self, progress: Progress) -> None:
        """An executor tells what it has; what nobody wants from it, it is told of.

        But only once this process has looked whether it owns the partition: else the
        attempt may be one that the owner behind it has handed out.
        """
        for held in progress.attempts:
            self._take_progress(progress.executor, held)
        if self._unwanted:
            self._look()

    def tell_unwanted(self) -> None:
        """This process has just seen that it owns the partition."""
        unwanted, self._unwanted = self._unwanted, {}
        for executor_id, token in unwanted:
            instance_id, _, path, _ = token
            wait = task.awaiting(self._store.rows(instance_id), path)
            # Who says the name of another executor must not take its attempts away.
            if wait is None or wait.executor != executor_id:
                self._placing.tell_lost(executor_id, token)

    def _take_progress(self, executor_id: str, held: HeldAttempt) -> None:
        attempt, digest = self._dispatcher.find(held.token), _hash_of(held.secret)
        lease = None if attempt is None else attempt.lease
        if (
            attempt is not None
            and lease is not None
            and attempt.is_elsewhere
            and lease.handout.secret_hash == digest
        ):
            self._dispatcher.leases.heard(attempt, held.details)
            return
        rows = self._store.rows(held.instance_id)
        wait, header = task.awaiting(rows, held.path), get_header(rows)
        is_wanted = (
            wait is not None
            and header is not None
            and header.run == held.run
            and wait.attempt == held.attempt
            and wait.secret_hash == digest
        )
        if not is_wanted:
            if len(self._unwanted) < UNWANTED_MAX:
                self._unwanted[executor_id, held.token] = None
            return
        if attempt is not None and not self._dispatcher.forget_queued(attempt):
            return  # another one is begun in its stead, or its outcome is decided
        if self._dispatcher.accepting and self._dispatcher.serving:
            self.adopt(held.instance_id, rows)

    def lost(self, attempt: Attempt) -> None:
        """Nothing was heard of an attempt: it is owed again, or has failed."""
        dispatcher = self._dispatcher
        rows = self._store.rows(attempt.instance_id)  # what raises changes nothing
        dispatcher.leases.remove(attempt)
        self._placing.lose(attempt)
        header, wait = get_header(rows), task.awaiting(rows, attempt.path)
        if header is None or wait is None or not is_awaited(rows, attempt):
            dispatcher.forget(attempt, is_owed=False)
        elif is_requested(header):
            dispatcher.report(attempt, self._outcomes.withdrawn(attempt))
        elif wait.restarts >= self._limits.max_restarts:
            lost = worker_lost(attempt.instance_id, header, attempt.path, wait)
            dispatcher.report(attempt, lost)
        else:
            dispatcher.forget(attempt, is_owed=True)

    def stalled(self, attempt: Attempt, silent_ms: int) -> None:
        """The function of an attempt told no heartbeat: the attempt has failed."""
        self._dispatcher.leases.remove(attempt)
        self._placing.abandon(attempt, report=attempt.lease is not None)
        self._dispatcher.report(attempt, self._outcomes.stalled(attempt, silent_ms))


def _hash_of(secret: str) -> bytes:
    """The hash of a secret in hexadecimal digits; no hash, where it is no secret."""
    try:
        return hashlib.sha256(bytes.fromhex(secret)).digest()
    except ValueError:
        return b"?"
