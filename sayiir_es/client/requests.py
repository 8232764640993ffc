"""Asks the owners of partitions, and reads their replies: the client's side.

Theory of operation. A client reads one partition of the replies from its first question
on, and knows its replies by the key. Each call has a number; whatever comes for a call
that is over is dropped, so a reply that comes twice counts once. A question may be lost
with its owner: it is posted again after a while, and at once when a new owner of the
partition says that it is there. A wait is posted again so seldom that it costs nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import DecodeError, LogError
from sayiir_es.engine.backoff import Backoff
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.telemetry import get_logger
from sayiir_es.wire.reply_address import ReplyAddress
from sayiir_es.wire.requests import (
    Claimed,
    CountInstances,
    Decided,
    ListInstances,
    Reply,
    StopSearch,
    decode_reply,
    encode_request,
    request_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.log.port import Log, Record
    from sayiir_es.wire.requests import Answer, Request

logger = get_logger(__name__)

ASK_AGAIN_S = 1.0
"""After how many seconds a question that is not answered is posted again."""

DECISION_AGAIN_S = 5.0
"""After how many seconds it is asked what became of a command: to look for a decision
in the log costs its owner something, and a new owner is asked at once."""

WAIT_AGAIN_S = 60.0
"""After how many seconds a wait is posted again: the owner drops it after 150."""

LOOKED_AT_S = 2.0
"""After how many seconds without a reply it is looked what holds a call back, and again
after each `LOOKED_AGAIN_S`."""

LOOKED_AGAIN_S = 15.0

TICK_S = 0.25
"""How often, in seconds, a client with open calls looks what to post again, and whose
time is up."""

TICKED_FROM_S = 1.0
"""Times of so many seconds or more end with a tick, up to `TICK_S` late: a timer for
each of thousands of calls, of which hardly one fires, costs more than the ticks."""

SILENT_S = 1.0
"""After how many seconds without a reply a partition counts as silent."""

STILL_SILENT_S = 0.1
"""The same, where the last question was not answered either."""


@dataclass(slots=True, eq=False)
class Call:
    """One question, or a command whose decision is to be told.

    `reply` is the first answer, or None so far. Where both the decision on a command
    and the end of its instance are to be told, `decision` is the one and `reply` the
    other. `request` gives what is posted (again); None while there is nothing to ask.
    One task waits for a call: `waiter` is done when a reply came or at `wake_at`, and
    `limit` ends all that the task does there at `limit_at`. Times are of the loop's
    clock, in seconds.
    """

    partition: int
    address: ReplyAddress
    waiter: asyncio.Future[None]
    reply: Answer | None = None
    decision: Answer | None = None
    request: Request | None = None
    again_s: float = ASK_AGAIN_S
    post_at: float = math.inf
    look_at: float = math.inf
    wake_at: float = math.inf
    limit: asyncio.Timeout | None = None
    limit_at: float = math.inf

    @property
    def answer(self) -> Answer:
        """The reply to a call that has one."""
        assert self.reply is not None
        return self.reply

    def take(self, answer: Answer) -> None:
        """Take an answer of the owner; of several the first counts."""
        expects_both = self.address.ended and self.address.decided
        if expects_both and isinstance(answer, Decided):
            if self.decision is None:
                self.decision = answer
                self.wake()
        elif self.reply is None:
            self.reply = answer
            self.wake()

    def wake(self) -> None:
        """Have the task that waits look at the call."""
        if not self.waiter.done():
            self.waiter.set_result(None)


@dataclass(slots=True)
class _Seen:
    """What a client knows of a partition."""

    offset: int = 0
    """Of `events`: an answer must not stand on less than one before."""
    is_silent: bool = False
    heard_at: float = 0.0
    """When the last reply came, by the loop's clock."""


class Requests:
    """The questions of one client; all on one event loop."""

    def __init__(
        self, log: Log, on_silence: Callable[[set[int]], None] = lambda _: None
    ) -> None:
        """`on_silence` is told the partitions that have not answered for a while."""
        self._on_silence = on_silence
        self._log = log
        self._topics = log.request_topics
        self._client = secrets.token_hex(8)
        self._key = self._client.encode()
        self._numbers = itertools.count(1)
        self._calls: dict[int, Call] = {}
        self._seen: dict[int, _Seen] = {}
        self._reply_partition = 0
        self._reading: asyncio.Task[None] | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._subscribed = asyncio.Event()

    async def open(self, *, create: bool) -> bool:
        """Begin to read replies; False where the app has no such topics.

        Raises:
            LogUnavailableError: nothing answers.
            UnsafeLogError: the topics cannot be made.
        """
        if self._subscribed.is_set():
            return True
        async with self._opening:
            if self._reading is None:
                if not await self._topics.open(create=create):
                    return False
                count = self._topics.reply_partitions
                self._reply_partition = int(self._client, 16) % count
                self._reading = asyncio.create_task(self._read(), name="replies")
            await self._subscribed.wait()
        return True

    async def close(self) -> None:
        """Stop reading; calls that wait are cancelled."""
        tasks = [task for task in (self._reading, self._ticking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for call in self._calls.values():
            call.waiter.cancel()
        self._calls.clear()
        self._subscribed.clear()
        self._reading = self._ticking = None

    @property
    def open_calls(self) -> int:
        """How many calls wait for a reply, or were answered and not forgotten."""
        return len(self._calls)

    # --- calls ------------------------------------------------------------------------

    def expect(
        self, partition: int, *, decided: bool = True, ended: bool = False
    ) -> Call:
        """A call that is answered by what becomes of a command; posts nothing."""
        number = next(self._numbers)
        address = ReplyAddress(
            partition=self._reply_partition,
            client=self._client,
            call=number,
            decided=decided,
            ended=ended,
        )
        waiter = asyncio.get_running_loop().create_future()
        call = self._calls[number] = Call(partition, address, waiter)
        if self._ticking is None:
            self._ticking = asyncio.create_task(self._tick(), name="requests")
        return call

    def ask_after(self, call: Call, request: Request, *, again_s: float) -> None:
        """From now on, post this when the call stays unanswered so long, in seconds."""
        call.request, call.again_s = request, again_s
        now = asyncio.get_running_loop().time()
        call.post_at, call.look_at = now + again_s, now + LOOKED_AT_S

    def post(self, call: Call, request: Request, *, again_s: float) -> bool:
        """Ask now, and again after so many seconds; False if nobody can hear it."""
        self.ask_after(call, request, again_s=again_s)
        return self._post(call, request)

    async def is_answered(self, call: Call, within_s: float = math.inf) -> bool:
        """Wait for the reply to a call; whether it came within so many seconds.

        A decision that comes before the reply ends the wait, too.
        """
        if call.reply is not None:
            return True
        loop = asyncio.get_running_loop()
        if call.waiter.done() and not call.waiter.cancelled():
            call.waiter = loop.create_future()
        if within_s >= TICKED_FROM_S:
            call.wake_at = loop.time() + within_s
            await call.waiter
            return call.reply is not None
        call.wake_at = math.inf
        timer = loop.call_later(within_s, call.wake)
        try:
            await call.waiter
        finally:
            timer.cancel()
        return call.reply is not None

    async def get_first(self, call: Call) -> Answer:
        """Wait for the first that is told of a call: the decision, or the reply."""
        while (answer := call.decision or call.reply) is None:
            await self.is_answered(call)
        return answer

    def limit(self, call: Call, limit: asyncio.Timeout, limit_s: float) -> None:
        """Let a limit end in so many seconds; from then on as `call.limit` says."""
        end = asyncio.get_running_loop().time() + limit_s
        if limit_s < TICKED_FROM_S:
            limit.reschedule(end)
        else:
            call.limit, call.limit_at = limit, end

    def forget(self, call: Call) -> None:
        """A call is over, answered or not."""
        self._calls.pop(call.address.call, None)

    def stop(self, call: Call) -> None:
        """Tell the owner that a search is not waited for any more; it may not hear."""
        if isinstance(call.request, ListInstances | CountInstances):
            self._post(call, StopSearch())

    def is_heard(self, partition: int) -> bool:
        """Whether an owner may hear what is asked of a partition."""
        return self._topics.is_heard(partition)

    def get_offset(self, partition: int) -> int:
        """The offset of `events` on which an answer must stand at least."""
        seen = self._seen.get(partition)
        return 0 if seen is None else seen.offset

    def is_silent(self, partition: int) -> bool:
        """Whether the last question to a partition was not answered."""
        seen = self._seen.get(partition)
        return seen is not None and seen.is_silent

    def set_silent(self, partition: int) -> None:
        """A question was not answered: little is waited for the next answer."""
        self._seen_of(partition).is_silent = True

    def _seen_of(self, partition: int) -> _Seen:
        seen = self._seen.get(partition)
        if seen is None:
            seen = self._seen[partition] = _Seen()
        return seen

    def is_at_work(self, call: Call, within_s: float) -> bool:
        """Whether its owner replied to anything so lately; then it is asked again.

        An owner that still looks for the answer says so whenever it is asked again.
        """
        seen = self._seen.get(call.partition)
        now = asyncio.get_running_loop().time()
        if seen is None or now - seen.heard_at > within_s:
            return False
        return call.request is not None and self._post(call, call.request)

    # --- reading ----------------------------------------------------------------------

    async def _read(self) -> None:
        backoff = Backoff(f"replies {self._client}")
        while True:
            try:
                subscription = await self._topics.subscribe(
                    Topic.REPLIES, self._reply_partition
                )
                try:
                    self._subscribed.set()
                    while True:
                        records = await subscription.read()
                        now = asyncio.get_running_loop().time()
                        for record in records:
                            self._take(record, now)
                        backoff.reset()
                finally:
                    await subscription.close()
            except LogError as error:
                logger.warning(
                    "replies.read_failed", error_code=error.code, reason=str(error)
                )
                await backoff.pause()

    def _take(self, record: Record, now: float) -> None:
        if record.key is not None and record.key != self._key:
            return  # another client's
        try:
            reply = decode_reply(record.value or b"")
        except DecodeError as error:
            logger.warning("replies.skipped", reason=str(error))
            return
        if reply.partition >= self._log.partitions:
            return  # nobody can own that
        seen = self._seen_of(reply.partition)
        seen.is_silent = False
        seen.heard_at = now
        if isinstance(reply.answer, Claimed):
            self._ask_again(reply.partition)
            return
        self._answer(reply, seen)

    def _answer(self, reply: Reply, seen: _Seen) -> None:
        call = self._calls.get(reply.call)
        if call is None or call.partition != reply.partition:
            return
        seen.offset = max(seen.offset, reply.offset)
        call.take(reply.answer)

    def _ask_again(self, partition: int) -> None:
        """A new owner is there: it knows nothing of what the one before was asked."""
        for call in tuple(self._calls.values()):
            if call.partition == partition and call.request is not None:
                self._post(call, call.request)

    # --- posting ----------------------------------------------------------------------

    def _post(self, call: Call, request: Request) -> bool:
        record = NewRecord(
            key=request_key(request),
            value=encode_request(request),
            headers=call.address.headers(),
        )
        return self._topics.post(Topic.REQUESTS, call.partition, record)

    async def _tick(self) -> None:
        """Post again what was not answered; end what waits for long enough."""
        loop = asyncio.get_running_loop()
        while self._calls:
            await asyncio.sleep(TICK_S)
            now = loop.time()
            silent: set[int] = set()
            for call in tuple(self._calls.values()):
                if call.look_at <= now:
                    call.look_at = now + LOOKED_AGAIN_S
                    silent.add(call.partition)
                if call.post_at <= now and call.request is not None:
                    call.again_s = min(call.again_s * 2, WAIT_AGAIN_S)
                    call.post_at = now + call.again_s
                    self._post(call, call.request)
                if call.wake_at <= now:
                    call.wake_at = math.inf
                    call.wake()
                if call.limit_at <= now and call.limit is not None:
                    call.limit_at = math.inf
                    call.limit.reschedule(now)
            self._on_silence(silent)
        self._ticking = None
