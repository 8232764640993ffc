"""Places attempts: in this process, or with an executor elsewhere.

Theory of operation. To the owners it is one executor, and an attempt goes through the
same states wherever it runs. One that may run here takes a slot of this process if one
is free, else one of an executor elsewhere that has credit, else it waits for both; and
when it has waited for a moment, another worker may have it that has an idle slot. Its
lease is made with the grant, so that the hash of its secret stands in the log before
the attempt is published; it is published when it starts. What was posted may be lost:
then nothing is heard of it, and its lease ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from typing import TYPE_CHECKING

from sayiir_es.core.model.attempt_events import SECRET_BYTES
from sayiir_es.core.model.inputs import Handout
from sayiir_es.core.model.limits import DEFAULT_LIMITS, Limits
from sayiir_es.engine.attempts.attempt import State
from sayiir_es.engine.attempts.lease import Lease
from sayiir_es.engine.attempts.outcomes import OutcomeMaker
from sayiir_es.engine.attempts.remote.waiting import WaitingElsewhere
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.attempts import (
    DEFAULT_LEASE_MS,
    AttemptCancelled,
    PublishedAttempt,
    encode_attempt,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from sayiir_es.engine.attempts.attempt import Attempt, Token
    from sayiir_es.engine.attempts.executor_port import Executor, ExecutorState
    from sayiir_es.engine.attempts.remote.executors import (
        ExecutorTable,
        RemoteExecutor,
    )
    from sayiir_es.engine.clock import Clock
    from sayiir_es.engine.definitions.job import Job
    from sayiir_es.log.port import RequestTopics
    from sayiir_es.wire.attempts import AttemptRecord, CancelReason
    from sayiir_es.wire.executor_requests import OfferSlots

PAUSE_GRACE_MS = 24 * 3600 * 1000
"""A pause lets end what runs, as it does in this process."""

OVERDUE_MS = 200
"""An attempt that this process can run waits so long before another worker gets it:
what is done here at once costs the log nothing more."""

ENVELOPE_BYTES = 16 * 1024
"""What a published attempt has beside its input: ids, paths, tags."""


class PlacingExecutor:
    """The executor of a process with others elsewhere; see `executor_port.Executor`."""

    def __init__(
        self,
        local: Executor,
        table: ExecutorTable,
        topics: RequestTopics,
        clock: Clock,
        *,
        limits: Limits = DEFAULT_LIMITS,
        lease_ms: int = DEFAULT_LEASE_MS,
    ) -> None:
        self.table = table
        self.waiting = WaitingElsewhere()
        self._local = local
        self._topics = topics
        self._clock = clock
        self._limits = limits
        self._lease_ms = lease_ms
        self._outcomes = OutcomeMaker("", limits)
        self._holders: dict[Attempt, RemoteExecutor] = {}
        """Who has, or is to have, an attempt of this process."""
        self._lending_is_due = False
        self._freed: dict[RemoteExecutor, None] = {}
        """Who has attempts less, and gets others in the next turn of the loop."""

    # --- slots ------------------------------------------------------------------------

    def reserve(self, attempt: Attempt) -> bool:
        """Grant a slot at once, here or elsewhere, if one is free and none queues."""
        if attempt.is_for_here and self._local.reserve(attempt):
            return True
        job, partition = attempt.job, attempt.owner.partition
        if job is None or self.waiting.has(job, partition):
            return False
        executor = self.table.find(job, partition, is_foreign=not attempt.is_for_here)
        if executor is None:
            return False
        self._give(attempt, executor)
        attempt.move(State.GRANTED)
        return True

    def enqueue(self, attempt: Attempt) -> None:
        """Queue for a slot; `granted` of the attempt's owner follows."""
        if attempt.is_for_here:
            self._local.enqueue(attempt)
        else:
            attempt.move(State.QUEUED)
        if attempt.job is not None:
            self.queue_elsewhere(attempt, attempt.job)

    def queue_elsewhere(self, attempt: Attempt, job: Job) -> None:
        """Let an attempt that queues wait for a slot of executors elsewhere, too."""
        attempt.job, partition = job, attempt.owner.partition
        self.waiting.add(attempt, partition)
        executor = self.table.find(job, partition, is_foreign=not attempt.is_for_here)
        if executor is not None:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._grant, executor, partition)
        elif attempt.is_for_here:
            self._lend_later()

    def withdraw(self, attempt: Attempt) -> bool:
        """Take a queued attempt back; False if it does not queue."""
        if attempt.is_for_here:
            return self._local.withdraw(attempt)
        if attempt.state is not State.QUEUED:
            return False
        attempt.move(State.WITHDRAWN)
        return True

    def release(self, attempt: Attempt) -> None:
        """Give back the slot of an attempt that was granted one and will not start."""
        if attempt.lease is None:
            self._local.release(attempt)
            return
        executor = self._holders.get(attempt)
        if executor is not None:
            self.table.give_credit_back(executor, attempt.owner.partition)
        self._free(attempt)

    def pass_on(self, attempt: Attempt) -> None:
        """A queued attempt goes elsewhere: it is granted, and waits here no more."""
        self._local.pass_on(attempt)

    def name_takers(self, attempt: Attempt) -> str:
        """Who may run an attempt that queues, in words."""
        count, job, is_foreign = 0, attempt.job, not attempt.is_for_here
        if job is not None:
            count = self.table.count_running(job, is_foreign=is_foreign)
        executors = f"the {count} executors that run it"
        if count == 1:
            executors = "the only executor that runs it"
        if not attempt.is_for_here:
            return executors
        owner = f"the worker that owns partition {attempt.owner.partition}"
        if _is_in_process(attempt):
            owner = f"the processes of {owner}"
        return f"{owner} and of {executors}" if count else owner

    def take_room(self, attempt: Attempt, size: int) -> bool:
        """Room for an input of so many bytes; what goes elsewhere takes none here."""
        return attempt.lease is not None or self._local.take_room(attempt, size)

    def input_bytes_max(self, attempt: Attempt) -> int:
        """How many bytes the input of an attempt may have where it is to run."""
        if attempt.lease is None:
            return self._limits.input_bytes
        message = self._topics.value_bytes_max(Topic.ATTEMPTS) - ENVELOPE_BYTES
        return min(self._limits.input_bytes, message)

    # --- what runs --------------------------------------------------------------------

    def start(self, attempt: Attempt) -> None:
        """Run an attempt in the slot that was granted to it, or publish it."""
        lease, job = attempt.lease, attempt.job
        if lease is None or job is None:
            self._local.start(attempt)
            return
        attempt.move(State.RUNNING)
        attempt.started_s = asyncio.get_running_loop().time()
        node, deadline_at = job.node, attempt.deadline_at_ms
        record = PublishedAttempt(
            executor=lease.handout.executor,
            instance_id=attempt.instance_id,
            run=attempt.run,
            path=attempt.path,
            attempt=attempt.number,
            secret=lease.secret,
            partition=attempt.owner.partition,
            workflow=job.graph.name,
            definition_hash=job.graph.definition_hash,
            graph_digest=job.graph.digest,
            task_id=node.id,
            input=attempt.input,
            named=attempt.named or {},
            tags=node.tags,
            timeout_ms=(
                None
                if deadline_at is None
                else max(0, deadline_at - self._clock.now_ms())
            ),
            heartbeat_timeout_ms=node.heartbeat_timeout_ms,
            lease_ms=lease.handout.lease_ms,
            idempotency_key=f"{attempt.instance_id}/{attempt.lineage}/{attempt.path}",
            lineage=attempt.lineage,
            ends_loop=job.ends_loop,
            is_key=job.is_key,
            traceparent=None if attempt.trace is None else attempt.trace.parent,
            payload_limit=self._limits.payload_bytes,
        )
        attempt.input, attempt.named = b"", None
        if not self._post(record):
            lease.heard_s = float("-inf")  # nobody has it

    def request_cancel(self, attempt: Attempt, grace_s: float) -> None:
        """Tell a running attempt; behind twice the grace it is withdrawn, wherever."""
        lease = attempt.lease
        if lease is None:
            self._local.request_cancel(attempt, grace_s)
        elif not lease.is_told:
            lease.is_told = True
            self._tell(attempt, "cancel", round(grace_s * 1000))
            loop = asyncio.get_running_loop()
            loop.call_later(2 * grace_s, self._leave, attempt)

    def tell_pause(self, attempt: Attempt) -> None:
        """Tell an attempt elsewhere that its instance is to pause, once."""
        lease = attempt.lease
        if lease is not None and not lease.is_told:
            lease.is_told = True
            self._tell(attempt, "pause", PAUSE_GRACE_MS)

    def abandon(self, attempt: Attempt, *, report: bool) -> None:
        """Withdraw a running attempt: its slot is free again.

        With `report` its executor elsewhere is told; without, it goes on there.
        """
        lease = attempt.lease
        if lease is None:
            self._local.abandon(attempt, report=report)
            return
        attempt.move(State.WITHDRAWN)
        self.end(attempt, is_wanted=not report)

    def end(self, attempt: Attempt, *, is_wanted: bool) -> None:
        """An attempt is elsewhere no more; its executor is told, if nobody wants it."""
        lease = attempt.lease
        assert lease is not None
        if not (is_wanted or lease.has_ended):
            deadline_at = attempt.deadline_at_ms
            is_due = deadline_at is not None and deadline_at <= self._clock.now_ms()
            self._tell(attempt, "timeout" if is_due else "lost", 0)
        self._free(attempt)

    def lose(self, attempt: Attempt) -> None:
        """Nothing was heard of an attempt: its executor gets none before it offers."""
        attempt.move(State.WITHDRAWN)
        executor = self._holders.get(attempt)
        if executor is not None:
            executor.credits.clear()
        self.end(attempt, is_wanted=True)

    def returned(self, attempt: Attempt, *, ran: bool) -> None:
        """Its executor has told its outcome, or has handed it back."""
        lease, executor, job = attempt.lease, self._holders.get(attempt), attempt.job
        if lease is None or lease.has_ended:
            return
        lease.has_ended = True
        if executor is None or job is None:
            return
        if ran:
            executor.ran(job)
        else:
            pause_s = executor.avoid(job, self.table.now_s())
            loop = asyncio.get_running_loop()
            loop.call_later(pause_s + 0.01, self._grant_all, executor)

    def adopt(self, attempt: Attempt, handout: Handout) -> None:
        """An executor has an attempt that an earlier owner gave it."""
        attempt.lease = Lease(handout=handout)
        attempt.move(State.GRANTED)
        attempt.move(State.RUNNING)
        attempt.started_s = asyncio.get_running_loop().time()
        executor = self.table.get(handout.executor)
        if executor is not None:
            executor.in_flight += 1
            self._holders[attempt] = executor

    def tell_lost(self, executor_id: str, token: Token) -> None:
        """An executor has an attempt that nobody wants from it any more."""
        self._post(_cancelled(executor_id, token, "lost", 0))

    def running(self) -> Collection[Attempt]:
        """The attempts that run now in this process."""
        return self._local.running()

    def observe(self) -> ExecutorState:
        """What the executor of this process does now."""
        return self._local.observe()

    async def close(self) -> None:
        """Cancel what runs here; what is elsewhere goes on."""
        await self._local.close()

    # --- what executors tell ----------------------------------------------------------

    def offer(self, partition: int, offer: OfferSlots) -> None:
        """An executor takes attempts of a partition: give it what waits."""
        executor = self.table.offer(partition, offer)
        if executor is not None:
            self._grant(executor, partition)
            if self.waiting.partitions():
                self._lend_later()

    # --- inside -----------------------------------------------------------------------

    def _give(self, attempt: Attempt, executor: RemoteExecutor) -> None:
        executor.take(attempt.owner.partition, in_process=_is_in_process(attempt))
        self._holders[attempt] = executor
        secret = secrets.token_bytes(SECRET_BYTES)
        handout = Handout(
            executor=executor.id,
            secret_hash=hashlib.sha256(secret).digest(),
            lease_ms=self._lease_ms,
        )
        attempt.lease = Lease(handout=handout, secret=secret)

    def _free(self, attempt: Attempt) -> None:
        executor = self._holders.pop(attempt, None)
        if executor is not None:
            self.table.give_back(executor)
            if not self._freed:  # once for all that end in this turn of the loop
                asyncio.get_running_loop().call_soon(self._grant_freed)
            self._freed[executor] = None

    def _grant_freed(self) -> None:
        freed, self._freed = self._freed, {}
        for executor in freed:
            self._grant_all(executor)

    def _grant_all(self, executor: RemoteExecutor) -> None:
        for partition in self.waiting.partitions():
            self._grant(executor, partition)

    def _lend_later(self) -> None:
        """When it has waited for a moment, another worker may have what waits."""
        if not self._lending_is_due and self.table.lenders():
            self._lending_is_due = True
            loop = asyncio.get_running_loop()
            loop.call_later(OVERDUE_MS / 1000, self._lend)

    def _lend(self) -> None:
        self._lending_is_due = False
        for lender in self.table.lenders():
            self._grant_all(lender)
        if self.waiting.partitions():
            self._lend_later()

    def _grant(self, executor: RemoteExecutor, partition: int) -> None:
        now_s, overdue_at_ms = self.table.now_s(), self._clock.now_ms() - OVERDUE_MS

        def is_taken(job: Job, first: Attempt) -> bool:
            return executor.takes(
                job,
                partition,
                now_s,
                is_foreign=not first.is_for_here,
                is_overdue=first.queued_at_ms <= overdue_at_ms,
                in_process=_is_in_process(first),
            )

        while executor.has_room(partition, now_s):
            attempt = self.waiting.take(partition, is_taken)
            if attempt is None:
                return
            self._give(attempt, executor)
            if attempt.is_for_here:
                self._local.pass_on(attempt)
            else:
                attempt.move(State.GRANTED)
            attempt.owner.granted(attempt)

    def _leave(self, attempt: Attempt) -> None:
        """A cancel was told long ago, and its executor says nothing."""
        if attempt.is_elsewhere:
            self.abandon(attempt, report=True)
            attempt.owner.reported(attempt, self._outcomes.withdrawn(attempt))

    def _tell(self, attempt: Attempt, reason: CancelReason, grace_ms: int) -> None:
        assert attempt.lease is not None
        executor_id = attempt.lease.handout.executor
        self._post(_cancelled(executor_id, attempt.token, reason, grace_ms))

    def _post(self, record: AttemptRecord) -> bool:
        partition = self.table.partition_of(record.executor)
        message = NewRecord(
            key=record.executor.encode("utf-8", "surrogatepass"),
            value=encode_attempt(record),
        )
        return self._topics.post(Topic.ATTEMPTS, partition, message)


def _is_in_process(attempt: Attempt) -> bool:
    """Whether it is known to run in a process of its own."""
    return attempt.runnable is not None and attempt.runnable.in_process


def _cancelled(
    executor_id: str, token: Token, reason: CancelReason, grace_ms: int
) -> AttemptCancelled:
    instance_id, run, path, number = token
    return AttemptCancelled(
        executor=executor_id,
        instance_id=instance_id,
        run=run,
        path=path,
        attempt=number,
        reason=reason,
        grace_ms=grace_ms,
    )
