"""Takes attempts of owners elsewhere: asks for them, has them run, and answers.

Theory of operation. To the owner of each partition it offers as many attempts as it has
room for; what comes back has its id as the key, on the one partition that it reads.
Attempts beyond the slots queue here, bounded in number and bytes; more are handed back
at once. Those that run in processes have slots of their own, and hold up no others. An
attempt is *held* from its arrival until the log has its outcome, and as long its owner
is told so. What an owner does not want any more is dropped unsaid.

What runs them is an executor's own, or a worker's, whose own attempts take turns with
these for its slots. Such a worker tells beside its offer how many slots are idle: they
are for attempts that their owners could run themselves, but have no slot for.

Nothing here must survive: whoever is killed costs its attempts a lease.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import DecodeError, LogError
from sayiir_es.core.model.inputs import Outcome
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.attempts.attempt import State, TraceOrigin
from sayiir_es.engine.backoff import Backoff
from sayiir_es.engine.clock import SystemClock
from sayiir_es.executor.background import read_topic, repeat
from sayiir_es.executor.credits import Credits
from sayiir_es.executor.held_attempt import HandedAttempt
from sayiir_es.executor.outcome_sender import OutcomeSender
from sayiir_es.executor.request_sender import RequestSender
from sayiir_es.log.port import Topic
from sayiir_es.telemetry import get_logger
from sayiir_es.wire.attempts import AttemptCancelled, PublishedAttempt, decode_attempt
from sayiir_es.wire.executor_requests import DEFAULT_OFFER_TTL_MS
from sayiir_es.wire.requests import Claimed, decode_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sayiir_es.engine.attempts.attempt import Attempt, Token
    from sayiir_es.engine.attempts.local_executor import LocalExecutor
    from sayiir_es.engine.clock import Clock
    from sayiir_es.executor.taker_settings import TakerSettings
    from sayiir_es.executor.task_code import TaskCode
    from sayiir_es.log.port import Log, Record
    from sayiir_es.wire.payload_codec import Payloads

logger = get_logger(__name__)

PROGRESS_S = 2.0
"""How often owners are told of the attempts that are held, at the least."""

PROGRESS_LEAST_S = 0.1
"""How often it is looked whether they are to be told."""

INPUT_BYTES_MAX = 64 << 20
"""How many bytes of inputs may wait beside those that run."""

LATE_S = 0.25
"""How long, in seconds, one that ends still hands back attempts that come: owners gave
them before they heard that it ends."""

SEND_LIMIT_S = 5.0
"""How long the end waits for the log to take the last outcomes."""

IDLE_TOLD_S = 1.0
"""How often other owners are told that more or fewer slots are idle, at the most."""

REMEMBERED_MAX = 10_000
"""Secrets of attempts that have ended here: one that comes again is not run again."""


class _PartitionReports:
    """Whom the attempts of one partition report to."""

    def __init__(
        self,
        partition: int,
        granted: Callable[[Attempt], None],
        reported: Callable[[Attempt, Outcome], None],
    ) -> None:
        self.partition = partition
        self._granted = granted
        self._reported = reported

    def reported(self, attempt: Attempt, outcome: Outcome) -> None:
        """An attempt has ended."""
        self._reported(attempt, outcome)

    def granted(self, attempt: Attempt) -> None:
        """An attempt that queued has its slot."""
        self._granted(attempt)

    def room_freed(self) -> None:
        """Inputs are here already."""


class AttemptTaker:
    """One that takes attempts, from `start` to `close`.

    The log and what runs the attempts are its caller's, who closes them behind it.
    """

    def __init__(
        self,
        log: Log,
        local: LocalExecutor,
        code: TaskCode,
        payloads: Payloads,
        settings: TakerSettings,
        clock: Clock | None = None,
    ) -> None:
        """`local` runs what `code` finds."""
        self._clock = SystemClock() if clock is None else clock
        self._log = log
        self._local = local
        self._code = code
        self._settings = settings
        self.executor_id = settings.executor_id
        self._room_most = settings.slots + settings.prefetch
        self._held: dict[Token, HandedAttempt] = {}
        """Until the log has their outcomes."""
        self._waiting: dict[HandedAttempt, int] = {}
        """Those that queue for a slot, with the bytes of their inputs."""
        self._waiting_bytes = 0
        self._ended: dict[bytes, None] = {}
        """Secrets of those that have ended, the latest last."""
        self._is_stopping = False
        self._stopped_s = 0.0
        """When it said that it takes nothing new, by the loop's clock."""
        self._offer_is_due = False
        self._told_s = float("-inf")
        """When owners were told last of what it holds, by the loop's clock."""
        self._idle_told = (0, 0)
        """How many slots were said to be idle last."""
        self._idle_told_s = float("-inf")
        """When that was, by the loop's clock."""
        self._looked_s = float("inf")
        """When it was looked last whether they are to be told."""
        self._idle = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._requests = RequestSender(settings, code, log.request_topics, payloads)
        self._credits = Credits(log.partitions)
        self._sender = OutcomeSender(log, self._sent)
        self._reports = [
            _PartitionReports(number, self._granted, self._reported)
            for number in range(log.partitions)
        ]

    @property
    def held(self) -> int:
        """How many attempts it has."""
        return len(self._held)

    @property
    def running(self) -> list[HandedAttempt]:
        """Those of them that run."""
        return [a for a in self._local.running() if isinstance(a, HandedAttempt)]

    # --- begin and end ----------------------------------------------------------------

    async def start(self) -> None:
        """Ask for attempts; returns when it hears of them.

        Raises:
            LogError: if the log does not answer.
        """
        topics, key = self._log.request_topics, self.executor_id.encode()
        await topics.open(create=True)
        heard = asyncio.Event()
        replies = partition_of(key, topics.reply_partitions)
        attempts = partition_of(key, self._log.partitions)
        for work in (
            read_topic(topics, Topic.ATTEMPTS, attempts, self._take, heard),
            read_topic(topics, Topic.REPLIES, replies, self._hear, asyncio.Event()),
            repeat("progress", PROGRESS_LEAST_S, self._tell_progress),
        ):
            self._tasks.append(asyncio.create_task(work))
        await heard.wait()
        offers = repeat("offers", DEFAULT_OFFER_TTL_MS / 3000, self._repeat_offers)
        self._tasks.append(asyncio.create_task(offers))

    def start_soon(self) -> None:
        """The same without waiting for it; again, where the log does not answer."""
        self._tasks.append(asyncio.create_task(self._start_at_last()))

    async def _start_at_last(self) -> None:
        backoff = Backoff(self.executor_id)
        while True:
            try:
                await self.start()
            except LogError as error:
                logger.warning(
                    "executor.read_failed",
                    topic=Topic.ATTEMPTS.value,
                    error_code=error.code,
                    reason=str(error),
                )
                await backoff.pause()
            else:
                return

    def stop_taking(self) -> None:
        """Take nothing new, and hand back what waits."""
        if self._is_stopping:
            return
        self._is_stopping = True
        self._stopped_s = asyncio.get_running_loop().time()
        self._requests.offer(range(len(self._reports)), 0, stopping=True)
        for queued in tuple(self._waiting):
            self._forget_waiting(queued)
            self._hand_back(queued, "")

    async def drain(self) -> None:
        """The same, wait for what runs, hand back what still does, and tell all."""
        self.stop_taking()
        if self.running:
            self._idle.clear()
            try:
                async with asyncio.timeout(self._settings.drain_s):
                    await self._idle.wait()
            except TimeoutError:
                logger.warning(
                    "executor.attempts_left",
                    worker=self.executor_id,
                    running=len(self.running),
                )
        await self.hand_back()

    async def hand_back(self) -> None:
        """Hand back what has not ended, and wait until the log has all outcomes."""
        self.stop_taking()
        if self._held or self._ended:  # so owners know it
            late_s = self._stopped_s + LATE_S - asyncio.get_running_loop().time()
            await asyncio.sleep(max(late_s, 0.0))
        for attempt in tuple(self._held.values()):
            if attempt.record.secret in self._ended:
                continue  # it is told already
            self._local.abandon(attempt, report=False)
            self._hand_back(attempt, "")
        await self._sender.drain(SEND_LIMIT_S)

    async def close(self) -> None:
        """Hear and tell nothing any more."""
        self.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cancel(self) -> None:
        """The same, without waiting for the end of what is under way."""
        self._is_stopping = True
        for task in self._tasks:
            task.cancel()

    # --- what owners say --------------------------------------------------------------

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
        elif self._local.reserve(attempt):
            self._start(attempt)
        elif (
            len(self._waiting) < self._room_most
            and self._waiting_bytes + size <= INPUT_BYTES_MAX
        ):
            self._waiting[attempt] = size
            self._waiting_bytes += size
            self._local.enqueue(attempt)
        else:
            self._hand_back(attempt, "expected room for it, but too many wait")
        self._offer_soon()

    def _new_attempt(self, record: PublishedAttempt) -> HandedAttempt:
        deadline_at, now_ms = None, self._clock.now_ms()
        if record.timeout_ms is not None:
            deadline_at = now_ms + record.timeout_ms
        return HandedAttempt(
            record=record,
            instance_id=record.instance_id,
            run=record.run,
            path=record.path,
            number=record.attempt,
            owner=self._reports[record.partition],
            runnable=self._code.find(record),
            lineage=record.lineage,
            queued_at_ms=now_ms,
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
        """One has ended: tell its owner; the next is granted its slot."""
        assert isinstance(attempt, HandedAttempt)
        attempt.move(State.REPORTED)
        if self._held.get(attempt.token) is attempt:
            self._send(attempt, outcome)
        self._has_ended()

    def _granted(self, attempt: Attempt) -> None:
        """One that queued has its slot."""
        assert isinstance(attempt, HandedAttempt)
        self._waiting_bytes -= self._waiting.pop(attempt)
        self._start(attempt)

    def _start(self, attempt: HandedAttempt) -> None:
        """Run it; where even that cannot be done, another executor may."""
        try:
            self._local.start(attempt)
        except Exception as error:
            logger.exception(
                "executor.attempt_not_started",
                instance_id=attempt.instance_id,
                path=attempt.path,
                attempt=attempt.number,
                exc_info=error,
            )
            self._local.abandon(attempt, report=False)
            self._hand_back(attempt, "expected it to begin, but it did not")

    def _has_ended(self) -> None:
        if self._is_stopping and not self.running:
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
        self._has_ended()

    def _remember(self, secret: bytes) -> None:
        self._ended[secret] = None
        if len(self._ended) > REMEMBERED_MAX:
            del self._ended[next(iter(self._ended))]

    def _forget_waiting(self, attempt: HandedAttempt) -> None:
        self._waiting_bytes -= self._waiting.pop(attempt)
        self._local.withdraw(attempt)

    # --- what owners are told ---------------------------------------------------------

    def _offer_soon(self) -> None:
        """Offer what is free, once for all that happens in this turn of the loop."""
        if not self._offer_is_due:
            self._offer_is_due = True
            asyncio.get_running_loop().call_soon(self._offer)

    def _offer(self) -> None:
        self._offer_is_due = False
        room = self._room_most - len(self._held)
        is_small = 4 * room < self._room_most
        if self._is_stopping or (is_small and self._waiting):
            return
        self._offer_to(self._credits.due(room), room)

    def _offer_to(self, partitions: Sequence[int], room: int) -> None:
        for partition in partitions:
            self._credits.offer(partition, room)
        idle_slots, idle_processes = self._idle_slots
        self._requests.offer(
            partitions,
            room,
            overflow=min(room, idle_slots),
            overflow_processes=min(room, idle_processes),
        )

    @property
    def _idle_slots(self) -> tuple[int, int]:
        """How many slots other owners may have for what they could run themselves.

        The second are those of processes.
        """
        if not self._settings.only_foreign:
            return 0, 0
        return self._local.idle_slots, self._local.idle_processes

    def _repeat_offers(self) -> None:
        """Offers end by themselves: say again, to all, what is free."""
        if not self._is_stopping:
            self._idle_told = self._idle_slots
            self._idle_told_s = asyncio.get_running_loop().time()
            room = self._room_most - len(self._held)
            self._offer_to(range(len(self._reports)), max(room, 0))

    def _tell_idle(self, now_s: float) -> None:
        """Offer again where what was said of idle slots is far from what is."""
        is_news = any(
            2 * min(idle, told) < max(idle, told)
            for idle, told in zip(self._idle_slots, self._idle_told, strict=True)
        )
        if is_news and now_s >= self._idle_told_s + IDLE_TOLD_S:
            self._repeat_offers()

    def _tell_progress(self) -> None:
        now_s = asyncio.get_running_loop().time()
        self._tell_pause(now_s - self._looked_s)
        self._looked_s = now_s
        self._tell_idle(now_s)
        if self._held and now_s >= self._told_s + self._progress_s():
            self._told_s = now_s
            self._requests.progress(self._held.values())

    def _tell_pause(self, silent_s: float) -> None:
        """Say it where this process stood still for longer than a lease."""
        late = [a for a in self._held.values() if a.record.lease_ms < silent_s * 1000]
        if late:
            logger.warning(
                "executor.stalled",
                worker=self.executor_id,
                running=len(late),
                duration_ms=round(silent_s * 1000),
                reason="expected to tell owners of the attempts it has within their "
                f"lease, but nothing ran here for {silent_s:.1f} s: others may run "
                f"{len(late)} of them by now, and their outcomes are rejected then",
            )

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
