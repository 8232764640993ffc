"""An executor on the event loop that calls it: asks for attempts, runs them, answers.

Theory of operation. To the owner of each partition it offers as many attempts as it has
room for; what comes back has its id as the key, on the one partition that it reads.
Attempts beyond the slots wait here, bounded in number and bytes; more are handed back
at once. An attempt is *held* from its arrival until the log has its outcome, and as
long its owner is told so. What an owner does not want any more is dropped unsaid.

Nothing here must survive: whoever is killed costs its attempts a lease.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.client.backend_port import WORKER_CONNECT_LIMIT_S
from sayiir_es.client.worker_resources import WorkerResources
from sayiir_es.core.authoring.unique import check_unique
from sayiir_es.core.model.errors import DecodeError, LogError
from sayiir_es.core.model.inputs import Outcome
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.attempts.attempt import State, TraceOrigin
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.backoff import Backoff
from sayiir_es.engine.clock import SystemClock
from sayiir_es.executor.credits import Credits
from sayiir_es.executor.held_attempt import HandedAttempt
from sayiir_es.executor.outcome_sender import OutcomeSender
from sayiir_es.executor.request_sender import RequestSender
from sayiir_es.executor.task_code import TaskCode
from sayiir_es.log.port import Topic
from sayiir_es.telemetry import get_logger
from sayiir_es.wire.attempts import AttemptCancelled, PublishedAttempt, decode_attempt
from sayiir_es.wire.executor_requests import DEFAULT_OFFER_TTL_MS
from sayiir_es.wire.requests import Claimed, decode_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sayiir_es.client.backends import Backend
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.engine.attempts.attempt import Attempt, Token
    from sayiir_es.engine.clock import Clock
    from sayiir_es.log.port import Log, Record

logger = get_logger(__name__)

PROGRESS_S = 2.0
"""How often owners are told of the attempts that are held, at the least."""

PROGRESS_LEAST_S = 0.1
"""How often it is looked whether they are to be told."""

INPUT_BYTES_MAX = 64 << 20
"""How many bytes of inputs may wait beside those that run."""

SEND_LIMIT_S = 5.0
"""How long the end waits for the log to take the last outcomes."""

REMEMBERED_MAX = 10_000
"""Secrets of attempts that have ended here: one that comes again is not run again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorSettings:
    """Of one executor.

    Attributes:
        executor_id: Its name; what is added makes it that of this process only.
        slots: Attempts that run at a time.
        prefetch: Attempts that may wait beside them; None: as many.
        tags: Only tasks whose tags are all among these run here; None: all do.
        drain_s: How long its end waits for attempts that run, in seconds.
    """

    executor_id: str
    slots: int
    prefetch: int | None
    tags: Collection[str] | None
    drain_s: float


class _PartitionReports:
    """Whom the attempts of one partition report to."""

    def __init__(
        self, partition: int, reported: Callable[[Attempt, Outcome], None]
    ) -> None:
        self.partition = partition
        self._reported = reported

    def reported(self, attempt: Attempt, outcome: Outcome) -> None:
        """An attempt has ended."""
        self._reported(attempt, outcome)

    def granted(self, attempt: Attempt) -> None:
        """Attempts wait here, not in the executor of the process."""
        raise AssertionError(f"expected {attempt.token} not to queue, but it did")

    def room_freed(self) -> None:
        """Inputs are here already."""


class RunningExecutor:
    """An executor, from `start` to `stop`."""

    def __init__(
        self,
        backend: Backend,
        settings: ExecutorSettings,
        clock: Clock | None = None,
    ) -> None:
        self._backend = backend
        self._clock = SystemClock() if clock is None else clock
        self._settings = settings
        self.executor_id = f"{settings.executor_id}/{secrets.token_hex(4)}"
        """What owners and events call it."""
        self.resources = WorkerResources(None, None)
        """What its tasks may name; set before the start."""
        slots = settings.slots
        self._prefetch = slots if settings.prefetch is None else settings.prefetch
        self._log: Log | None = None
        self._local = LocalExecutor(
            slots, worker_id=self.executor_id, payloads=backend.payloads
        )
        self._held: dict[Token, HandedAttempt] = {}
        """Until the log has their outcomes."""
        self._waiting: deque[HandedAttempt] = deque()
        self._waiting_bytes = 0
        self._ended: dict[bytes, None] = {}
        """Secrets of those that have ended, the latest last."""
        self._is_stopping = False
        self._offer_is_due = False
        self._idle = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def held(self) -> int:
        """How many attempts it has."""
        return len(self._held)

    # --- begin and end ----------------------------------------------------------------

    async def start(self, workflows: Sequence[Workflow]) -> None:
        """Connect, make the resources, and ask for attempts.

        Raises:
            ValueError: if two different workflows have the same name and version.
            BackendError: if the log does not answer or could lose history.
            ResourceError: if a task names what `on_startup` does not give.
        """
        check_unique(
            (f"workflow {number} of {len(workflows)}", workflow)
            for number, workflow in enumerate(workflows, start=1)
        )
        log = self._backend.open_log(connect_limit_s=WORKER_CONNECT_LIMIT_S)
        await log.open(create=True)
        self._log = log
        await log.request_topics.open(create=True)
        try:
            self._code = TaskCode(
                await self.resources.start(workflows), self._settings.tags
            )
        except BaseException:
            await self.resources.close()
            await log.close()
            raise
        self._requests = RequestSender(
            self.executor_id,
            self._settings.slots,
            self._code,
            log.request_topics,
            self._backend.payloads,
        )
        self._credits = Credits(log.partitions)
        self._sender = OutcomeSender(log, self._sent)
        self._reports = [
            _PartitionReports(number, self._reported)
            for number in range(log.partitions)
        ]
        heard = asyncio.Event()
        key = self.executor_id.encode()
        replies = partition_of(key, log.request_topics.reply_partitions)
        self._tasks = [
            asyncio.create_task(
                self._read(
                    Topic.ATTEMPTS, partition_of(key, log.partitions), self._take, heard
                )
            ),
            asyncio.create_task(
                self._read(Topic.REPLIES, replies, self._hear, asyncio.Event())
            ),
            asyncio.create_task(self._tell_progress()),
        ]
        waits = (asyncio.create_task(heard.wait()), self._tasks[0])
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        self._tasks.append(asyncio.create_task(self._repeat_offers()))

    async def stop(self) -> None:
        """Take nothing new, hand back what waits, wait for what runs, and close."""
        self._is_stopping = True
        if self._log is None:
            return
        try:
            if self._tasks:
                await self._drain()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._local.close()
            await self.resources.close()
            log, self._log = self._log, None
            await log.close()

    async def end_at_exit(self) -> None:
        """Stop without a drain: Python ends, and nobody has shut this one down."""
        self._is_stopping = True
        for task in self._tasks:
            task.cancel()
        await self._local.close()
        await self.resources.close()

    async def _drain(self) -> None:
        self._requests.offer(range(len(self._reports)), 0, stopping=True)
        while self._waiting:
            self._hand_back(self._pop_waiting(), "")
        if self._local.running():
            self._idle.clear()
            try:
                async with asyncio.timeout(self._settings.drain_s):
                    await self._idle.wait()
            except TimeoutError:
                logger.warning(
                    "executor.attempts_left",
                    worker=self.executor_id,
                    running=len(self._local.running()),
                )
        for attempt in tuple(self._local.running()):
            assert isinstance(attempt, HandedAttempt)
            self._local.abandon(attempt, report=False)
            self._hand_back(attempt, "")
        await self._sender.drain(SEND_LIMIT_S)

    def drain_limit_s(self) -> float:
        """How long `stop` waits for attempts at most, in seconds: none if none runs."""
        return self._settings.drain_s if self._local.running() else 0.0

    # --- what owners say --------------------------------------------------------------

    async def _read(
        self,
        topic: Topic,
        partition: int,
        take: Callable[[Record], None],
        heard: asyncio.Event,
    ) -> None:
        assert self._log is not None
        topics = self._log.request_topics
        backoff = Backoff(self.executor_id)
        while True:
            try:
                subscription = await topics.subscribe(topic, partition)
                try:
                    heard.set()
                    while True:
                        for record in await subscription.read():
                            take(record)
                        backoff.reset()
                finally:
                    await subscription.close()
            except LogError as error:
                logger.warning(
                    "executor.read_failed",
                    topic=topic.value,
                    error_code=error.code,
                    reason=str(error),
                )
                await backoff.pause()

    def _hear(self, record: Record) -> None:
        """A partition with a new owner: it knows of no offer."""
        if record.key is not None:
            return  # of a client
        try:
            reply = decode_reply(record.value or b"")
        except DecodeError:
            return  # of a build that this one does not know
        if isinstance(reply.answer, Claimed) and reply.partition < len(self._reports):
            self._credits.offer(reply.partition, 0)
            self._offer_soon()
            self._requests.progress(
                held
                for held in self._held.values()
                if held.record.partition == reply.partition
            )

    def _take(self, record: Record) -> None:
        if record.key is None or record.key != self.executor_id.encode():
            return
        try:
            message = decode_attempt(record.value or b"")
        except DecodeError as error:
            logger.warning(
                "executor.attempt_skipped",
                worker=self.executor_id,
                offset=record.offset,
                reason=str(error),
            )
            return
        if isinstance(message, AttemptCancelled):
            self._cancel(message)
        elif message.partition < len(self._reports):
            self._begin(message)

    def _begin(self, record: PublishedAttempt) -> None:
        if record.secret in self._ended:
            return  # it came twice
        known = self._held.get(record.token)
        if known is not None:
            if known.record.secret == record.secret:
                return
            self._drop(known)
        self._credits.take(record.partition)
        attempt = self._held[record.token] = self._new_attempt(record)
        size = _input_bytes(record)
        if attempt.runnable is None:
            self._hand_back(
                attempt,
                f"expected a task {record.task_id!r} of {record.workflow!r} with the "
                f"tags {list(record.tags)}, but this executor has none that takes it",
            )
        elif self._is_stopping:
            self._hand_back(attempt, "")
        elif not self._waiting and self._local.reserve(attempt):
            self._local.start(attempt)
        elif (
            len(self._waiting) < self._prefetch + self._settings.slots
            and self._waiting_bytes + size <= INPUT_BYTES_MAX
        ):
            self._waiting.append(attempt)
            self._waiting_bytes += size
        else:
            self._hand_back(attempt, "expected room for it, but too many wait")
        self._offer_soon()

    def _new_attempt(self, record: PublishedAttempt) -> HandedAttempt:
        deadline_at = None
        if record.timeout_ms is not None:
            deadline_at = self._clock.now_ms() + record.timeout_ms
        return HandedAttempt(
            record=record,
            instance_id=record.instance_id,
            run=record.run,
            path=record.path,
            number=record.attempt,
            owner=self._reports[record.partition],
            runnable=self._code.find(record),
            lineage=record.lineage,
            input=record.input,
            named=record.named,
            deadline_at_ms=deadline_at,
            trace=TraceOrigin(parent=record.traceparent, links=(), path=record.path),
        )

    def _cancel(self, message: AttemptCancelled) -> None:
        attempt = self._held.get(message.token)
        if message.reason == "lost":
            self._credits = Credits(len(self._reports))  # it was silent for long
            self._offer_soon()
        if attempt is None:
            return
        if message.reason in {"timeout", "lost"}:
            logger.warning(
                "executor.attempt_dropped",
                instance_id=attempt.instance_id,
                path=attempt.path,
                attempt=attempt.number,
                reason=message.reason,
            )
            self._drop(attempt)
        elif attempt.state is State.RUNNING:
            self._local.request_cancel(attempt, message.grace_ms / 1000)
        elif attempt in self._waiting:
            self._forget_waiting(attempt)
            self._hand_back(attempt, "")

    # --- what becomes of attempts -----------------------------------------------------

    def _reported(self, attempt: Attempt, outcome: Outcome) -> None:
        """One has ended: tell its owner, and begin the next."""
        assert isinstance(attempt, HandedAttempt)
        attempt.move(State.REPORTED)
        if self._held.get(attempt.token) is attempt:
            self._send(attempt, outcome)
        self._begin_waiting()

    def _begin_waiting(self) -> None:
        while self._waiting and self._local.reserve(self._waiting[0]):
            self._local.start(self._pop_waiting())
        if not self._local.running():
            self._idle.set()
        self._offer_soon()

    def _hand_back(self, attempt: HandedAttempt, reason: str) -> None:
        """Its owner may give it to another; with a reason people are told."""
        if reason:
            logger.warning(
                "executor.attempt_returned",
                instance_id=attempt.instance_id,
                workflow=attempt.record.workflow,
                task_id=attempt.record.task_id,
                path=attempt.path,
                attempt=attempt.number,
                reason=reason,
            )
        withdrawn = Outcome(
            instance_id=attempt.instance_id,
            run=attempt.run,
            path=attempt.path,
            attempt=attempt.number,
            result="withdrawn",
            worker=self.executor_id,
        )
        self._send(attempt, withdrawn)

    def _send(self, attempt: HandedAttempt, outcome: Outcome) -> None:
        self._remember(attempt.record.secret)
        attempt.input, attempt.named = b"", None
        self._sender.send(attempt.record, outcome)

    def _sent(self, record: PublishedAttempt) -> None:
        held = self._held.get(record.token)
        if held is not None and held.record is record:
            del self._held[record.token]
            self._offer_soon()

    def _drop(self, attempt: HandedAttempt) -> None:
        """Nobody wants it any more."""
        del self._held[attempt.token]
        self._remember(attempt.record.secret)
        if attempt.state is State.RUNNING:
            self._local.abandon(attempt, report=False)
        elif attempt in self._waiting:
            self._forget_waiting(attempt)
        self._begin_waiting()

    def _remember(self, secret: bytes) -> None:
        self._ended[secret] = None
        if len(self._ended) > REMEMBERED_MAX:
            del self._ended[next(iter(self._ended))]

    def _pop_waiting(self) -> HandedAttempt:
        attempt = self._waiting.popleft()
        self._waiting_bytes -= _input_bytes(attempt.record)
        return attempt

    def _forget_waiting(self, attempt: HandedAttempt) -> None:
        self._waiting.remove(attempt)
        self._waiting_bytes -= _input_bytes(attempt.record)

    # --- what owners are told ---------------------------------------------------------

    def _offer_soon(self) -> None:
        """Offer what is free, once for all that happens in this turn of the loop."""
        if not self._offer_is_due:
            self._offer_is_due = True
            asyncio.get_running_loop().call_soon(self._offer)

    def _offer(self) -> None:
        self._offer_is_due = False
        room = self._settings.slots + self._prefetch - len(self._held)
        is_small = 4 * room < self._settings.slots + self._prefetch
        if self._is_stopping or (is_small and self._waiting):
            return
        self._offer_to(self._credits.due(room), room)

    def _offer_to(self, partitions: Sequence[int], room: int) -> None:
        for partition in partitions:
            self._credits.offer(partition, room)
        self._requests.offer(partitions, room)

    async def _repeat_offers(self) -> None:
        """Offers end by themselves: say again, to all, what is free."""
        while not self._is_stopping:
            room = self._settings.slots + self._prefetch - len(self._held)
            self._offer_to(range(len(self._reports)), max(room, 0))
            await asyncio.sleep(DEFAULT_OFFER_TTL_MS / 3000)

    async def _tell_progress(self) -> None:
        clock = asyncio.get_running_loop().time
        told_s = clock()
        while True:
            await asyncio.sleep(PROGRESS_LEAST_S)
            if self._held and clock() >= told_s + self._progress_s():
                told_s = clock()
                self._requests.progress(self._held.values())

    def _progress_s(self) -> float:
        """After how many seconds owners are to be told again."""
        silences = (
            limit_ms
            for one in self._held.values()
            for limit_ms in (one.record.lease_ms, one.record.heartbeat_timeout_ms)
            if limit_ms is not None
        )
        shortest_s = min(silences, default=PROGRESS_S * 4000) / 4000
        return min(PROGRESS_S, shortest_s)


def _input_bytes(record: PublishedAttempt) -> int:
    return len(record.input) + sum(map(len, record.named.values()))
