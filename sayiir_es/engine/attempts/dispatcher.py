"""Hands attempts to the executor, and takes their outcomes, for one partition.

Theory of operation. An attempt is *offered* while a batch is made, from the staged
rows: it may take a slot then, so that its `DeadlineSet` lands in the same batch. It
*starts* only after the log acknowledged the batch, and only if the live rows still
want it. What has no slot queues at the executor; when its turn comes, a task with a
time-out first records that it begins. Held back by a requested cancel or pause, an
attempt without a slot comes back at once as *withdrawn*.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from sayiir_es.core.decide.owed import is_held
from sayiir_es.core.graph.references import resolve
from sayiir_es.core.model.inputs import Outcome
from sayiir_es.core.model.rows import Rows, get_cursors, get_header, get_run
from sayiir_es.core.model.waits import Awaiting
from sayiir_es.core.nodes import task
from sayiir_es.engine.attempts.executor_port import Job
from sayiir_es.engine.attempts.job_book import JobBook
from sayiir_es.engine.attempts.offers import (
    Offer,
    awaited,
    is_awaited,
    is_wanted,
    slot_taken,
)
from sayiir_es.engine.attempts.outcome_queue import OutcomeQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sayiir_es.core.decide.owed import OwedAttempt
    from sayiir_es.engine.attempts.executor_port import Token
    from sayiir_es.engine.owner.batch import Batch
    from sayiir_es.engine.ports import Ports

DEFAULT_PRIORITY = 3


class Dispatcher:
    """The attempts of one partition that are queued or running in this process."""

    def __init__(
        self,
        *,
        ports: Ports,
        worker: str,
        cancel_grace_s: float,
        wake: Callable[[], None],
    ) -> None:
        self.outcomes = OutcomeQueue()
        self.slots: deque[Job] = deque()
        self.accepting = True
        self.serving = False
        """Whether a claim is in force: without one nothing is started."""
        self._executor = ports.executor
        self._registry = ports.registry
        self._worker = worker
        self._cancel_grace_s = cancel_grace_s
        self._wake = wake
        self._book = JobBook()
        self._restarts: set[Token] = set()
        self._queued: set[Token] = set()

    @property
    def busy(self) -> bool:
        """Whether an attempt is queued or running, or an outcome is to be decided."""
        return bool(self._book or self.outcomes or self.slots)

    def drain(self) -> None:
        """Begin nothing further; what queues stays owed, by whoever owns next."""
        self.accepting = False
        for job in self._book:
            if job.token in self._queued and self._executor.withdraw(job):
                self._forget(job)

    # --- while a batch is made --------------------------------------------------------

    def will_restart(self, token: Token) -> None:
        """It may have begun elsewhere: so it is restarted, once it takes a slot."""
        self._restarts.add(token)

    def offer(
        self, batch: Batch, instance_id: str, owed: OwedAttempt, *, restart: bool
    ) -> Offer | None:
        """Make an offer for an owed attempt, unless it is here already."""
        if not self.accepting:
            return None
        token = (instance_id, owed.run, owed.path, owed.attempt)
        if self._book.get(token) is not None or self.outcomes.is_told(token):
            return None
        job = self._job(batch, instance_id, owed)
        if job is None:
            return None
        # Withdrawn where the source of a fork stood: without an event that it begins,
        # its outcome would count for nothing.
        silent = owed.withdrawn and job.node.timeout_ms is None
        restart = restart or silent or token in self._restarts
        begins = restart or (
            job.node.timeout_ms is not None and owed.deadline_at is None
        )
        reserved = self._executor.reserve()
        self._book.put(job)
        if reserved and begins:
            batch.decide(slot_taken(job, restart=restart))
        return Offer(job=job, reserved=reserved, begins=begins, restart=restart)

    def begin(self, batch: Batch, job: Job) -> Offer | None:
        """A queued attempt got its slot: record what must stand before it runs."""
        self._queued.discard(job.token)
        restart = job.token in self._restarts
        draft = batch.decide(slot_taken(job, restart=restart))
        if not draft.events and not is_wanted(batch.view(job.instance_id), job):
            self._executor.release()
            self._give_back(batch.view(job.instance_id), job)
            return None
        return Offer(job=job, reserved=True, begins=True, restart=restart)

    # --- after the ack ----------------------------------------------------------------

    def act(self, rows: Rows, offer: Offer) -> None:
        """Start or queue what a batch offered, if the live rows still want it."""
        job = offer.job
        owed = awaited(rows, job)
        if owed is None or is_held(owed[0]):
            if offer.reserved:
                self._executor.release()
            self._give_back(rows, job)
            return
        if offer.reserved:
            self._restarts.discard(job.token)
            self._executor.start(self._with_deadline(job, owed[1].deadline_at))
            return
        if offer.restart:
            self._restarts.add(job.token)
        self._queued.add(job.token)
        self._executor.enqueue(job)

    def undo(self, offers: list[Offer]) -> None:
        """The batch never became live: give back its slots, keep its outcomes."""
        self.outcomes.undo()
        for offer in offers:
            self._forget(offer.job)
            if offer.restart:
                self._restarts.add(offer.job.token)
            if offer.reserved:
                self._executor.release()

    def hold(self, instance_id: str, rows: Rows, now_ms: int) -> None:
        """A cancel or pause was requested: what has no slot comes back at once."""
        header = get_header(rows)
        if header is None or header.phase != "running":
            return
        for _, cursor in get_cursors(rows):
            wait = cursor.wait
            if not isinstance(wait, Awaiting) or not task.is_running(
                header, wait, now_ms
            ):
                continue
            job = self._book.get((instance_id, header.run, cursor.path, wait.attempt))
            if job is None:
                if not self.outcomes.is_coming(instance_id, header.run, cursor.path):
                    self._withdrawn(instance_id, header.run, cursor.path, wait.attempt)
            elif self._executor.withdraw(job):
                self._forget(job)
                self._withdrawn(instance_id, header.run, cursor.path, wait.attempt)
            elif header.cancel is not None:
                self._executor.request_cancel(job, self._cancel_grace_s)

    def drop_unwanted(
        self, instance_id: str, rows: Rows, chains: Iterable[str] | None
    ) -> None:
        """Stop what the rows no longer await: timed out, terminated, failed beside.

        Only in the chains that changed, so that a branch among thousands costs the
        same as one alone; None looks at all.
        """
        for job in self._book.touched(instance_id, chains):
            if job.instance_id == instance_id and is_awaited(rows, job):
                continue
            self._forget(job)
            if not self._executor.withdraw(job):
                self._executor.abandon(job, deliver=True)

    def drop_all(self) -> None:
        """The tenure is over for good: cancel what runs, drop every outcome."""
        for job in self._book:
            if not self._executor.withdraw(job):
                self._executor.abandon(job, deliver=False)
        self._book.clear()
        self._restarts.clear()
        self._queued.clear()
        self.outcomes.clear()
        for _ in self.slots:
            self._executor.release()
        self.slots.clear()

    # --- called by the executor -------------------------------------------------------

    def _granted(self, job: Job) -> None:
        if self._book.get(job.token) is None:
            self._executor.release()
            return
        begins = job.node.timeout_ms is not None and job.deadline_at_ms is None
        if begins or job.token in self._restarts or not self.serving:
            self.slots.append(job)
            self._wake()
        else:
            self._queued.discard(job.token)
            self._executor.start(job)

    def _deliver(self, job: Job, outcome: Outcome) -> None:
        self._forget(job)
        self.outcomes.put_told(outcome)
        self._wake()

    # --- inside -----------------------------------------------------------------------

    def _job(self, batch: Batch, instance_id: str, owed: OwedAttempt) -> Job | None:
        rows = batch.view(instance_id)
        started = get_run(rows)
        if started is None:
            return None
        runnable = self._registry.runnable(started.graph_digest, owed.path)
        if runnable is None:
            return None  # it waits for an owner that has the code
        graph, node = runnable.graph, runnable.node
        return Job(
            instance_id=instance_id,
            run=owed.run,
            path=owed.path,
            attempt=owed.attempt,
            node=node,
            function=runnable.function,
            input=resolve(rows, graph, owed.input),
            ends_loop=runnable.ends_loop,
            workflow=started.workflow,
            workflow_metadata=graph.metadata,
            worker=self._worker,
            deadline_at_ms=owed.deadline_at,
            priority=node.priority or DEFAULT_PRIORITY,
            queued_at_ms=batch.world.now_ms,
            granted=self._granted,
            deliver=self._deliver,
        )

    def _with_deadline(self, job: Job, deadline_at_ms: int | None) -> Job:
        if deadline_at_ms == job.deadline_at_ms:
            return job
        job = replace(job, deadline_at_ms=deadline_at_ms)
        self._book.put(job)
        return job

    def _give_back(self, rows: Rows, job: Job) -> None:
        self._forget(job)
        header = get_header(rows)
        if header is not None and is_held(header) and is_awaited(rows, job):
            self._withdrawn(job.instance_id, job.run, job.path, job.attempt)

    def _withdrawn(
        self, instance_id: str, of_run: int, path: str, attempt: int
    ) -> None:
        self.outcomes.put(
            Outcome(
                instance_id=instance_id,
                run=of_run,
                path=path,
                attempt=attempt,
                result="withdrawn",
                worker=self._worker,
            )
        )
        self._wake()

    def _forget(self, job: Job) -> None:
        self._book.remove(job)
        self._restarts.discard(job.token)
        self._queued.discard(job.token)
