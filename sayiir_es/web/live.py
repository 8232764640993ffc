"""What changes on the log, for pages that are open: one reader for all of them.

Theory of operation. While any page listens, one task a partition reads its events as
they come; nothing is folded or decoded, only key and headers are looked at. Each page
has a subscription with a bounded list of marks. A page that was cut off names the last
place of every partition that it knows: what was written since is read for it alone, up
to where it can follow the shared reader, and where that is too much it is told to load
anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sayiir_es.client.projection import partition_of_instance
from sayiir_es.core.model.errors import BackendError, UsageError, WorkflowError
from sayiir_es.engine.valid_events import EventFilter, ValidEvents
from sayiir_es.log.port import Topic
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from sayiir_es.client.session import Session
    from sayiir_es.engine.valid_events import EventMark
    from sayiir_es.log.port import Log

logger = get_logger(__name__)

MARKS_MAX = 200
"""How many marks a page is sent at a time; with more it is told to load anew."""

CAUGHT_UP_MAX = 20_000
"""How many records are read for a page that was cut off."""

SUBSCRIPTIONS_MAX = 500
"""How many pages may listen to one process."""

READ_WAIT_S = 1.0

AGAIN_S = 1.0
"""After how many seconds a reader is begun anew whose log did not answer."""

IDLE_S = 10.0
"""How long, in seconds, the readers go on when no page listens: the next one comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What changed: the marks, and how far each partition has been looked at.

    With `is_cut` there were more than `marks` holds, so all may have changed.
    """

    marks: Sequence[EventMark]
    position: Mapping[int, int]
    is_cut: bool = False

    @property
    def place(self) -> str:
        """The position as pages send it back: the last offset of each partition."""
        return ",".join(
            f"{partition}:{offset - 1}"
            for partition, offset in sorted(self.position.items())
        )


_PLACE = re.compile("[0-9]{1,9}:-?[0-9]{1,18}")


def parse_place(text: str, partitions: int) -> dict[int, int]:
    """The next offsets that a text of `partition:offset` pairs names.

    Raises:
        UsageError: if it is none.
    """
    position: dict[int, int] = {}
    for pair in text.split(",") if text else ():
        partition, _, offset = pair.partition(":")
        if _PLACE.fullmatch(pair) is None:
            raise UsageError(f"expected places such as 0:41,1:7, but {text!r:.100}")
        if int(partition) >= partitions:
            raise UsageError(
                f"expected a partition below {partitions}, but {int(partition)}"
            )
        position[int(partition)] = max(int(offset) + 1, 0)
    return position


@dataclass(slots=True, eq=False)
class _Subscription:
    """The marks that one page has not been sent yet."""

    partitions: Sequence[int]
    instance_id: str | None
    marks: deque[EventMark] = field(default_factory=lambda: deque(maxlen=MARKS_MAX))
    is_cut: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, marks: Sequence[EventMark]) -> None:
        for mark in marks:
            if self.instance_id in (None, mark.instance_id):
                self.is_cut |= len(self.marks) == MARKS_MAX
                self.marks.append(mark)
                self.news.set()


class LiveEvents:
    """The events of a log as they come, for all pages of one process."""

    def __init__(self, get_session: Callable[[], Session]) -> None:
        self._get_session = get_session
        self._subscriptions: set[_Subscription] = set()
        self._positions: dict[int, int] = {}
        """The next offset of each partition that is read."""
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._idle: asyncio.TimerHandle | None = None
        self._is_over = False

    def end(self) -> None:
        """Let every page's stream end: the process does."""
        self._is_over = True
        for subscription in self._subscriptions:
            subscription.news.set()

    async def follow(
        self, *, instance_id: str | None = None, after: str = ""
    ) -> AsyncGenerator[Changes]:
        """Yield what changes from now on, or from behind the places in `after`.

        The first `Changes` comes at once, and says from where on. With an `instance_id`
        the marks are of that instance alone, and one partition is read.

        Raises:
            UsageError: if `after` is none.
            BackendError: if as many listen as may.
            WorkflowError: if the log does not answer.
        """
        session = self._get_session()
        await session.open()
        log = session.log
        position = parse_place(after, log.partitions)
        partitions = range(log.partitions)
        if instance_id is not None:
            home = partition_of_instance(log, instance_id)
            partitions = range(home, home + 1)
        subscription = _Subscription(partitions, instance_id)
        await self._subscribe(log, subscription)
        try:
            yield await self._catch_up(log, subscription, position)
            while True:
                await subscription.news.wait()
                if self._is_over:
                    return
                yield self._take(subscription)
        finally:
            self._leave(subscription)

    async def close(self) -> None:
        """Stop reading."""
        if self._idle is not None:
            self._idle.cancel()
        tasks = list(self._tasks.values())
        self._tasks.clear()
        self._positions.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- subscriptions ----------------------------------------------------------------

    async def _subscribe(self, log: Log, subscription: _Subscription) -> None:
        if len(self._subscriptions) >= SUBSCRIPTIONS_MAX:
            raise BackendError(
                f"expected at most {SUBSCRIPTIONS_MAX} pages that listen to this "
                "process, but one more; close some, or run another one beside it"
            )
        self._subscriptions.add(subscription)
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        try:
            for partition in subscription.partitions:
                if partition not in self._tasks:
                    end = await log.end_offset(Topic.EVENTS, partition)
                    if partition not in self._tasks:  # another page came meanwhile
                        self._positions[partition] = end
                        self._tasks[partition] = asyncio.create_task(
                            self._read_on(log, partition)
                        )
        except BaseException:
            self._leave(subscription)
            raise

    def _leave(self, subscription: _Subscription) -> None:
        self._subscriptions.discard(subscription)
        if not self._subscriptions and self._idle is None:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(IDLE_S, self._stop_if_idle)

    def _stop_if_idle(self) -> None:
        self._idle = None
        if not self._subscriptions:
            for task in self._tasks.values():
                task.cancel()
            self._tasks.clear()
            self._positions.clear()

    def _take(self, subscription: _Subscription) -> Changes:
        marks = tuple(subscription.marks)
        is_cut = subscription.is_cut
        subscription.marks.clear()
        subscription.is_cut = False
        subscription.news.clear()
        position = {one: self._positions[one] for one in subscription.partitions}
        return Changes(marks=marks, position=position, is_cut=is_cut)

    async def _catch_up(
        self, log: Log, subscription: _Subscription, position: Mapping[int, int]
    ) -> Changes:
        """What was written behind a position before the subscription began."""
        missed = _Subscription(subscription.partitions, subscription.instance_id)
        for partition in subscription.partitions:
            start = position.get(partition)
            until = self._positions[partition]
            if start is None or start >= until:
                continue
            if until - start > CAUGHT_UP_MAX:
                missed.is_cut = True
                continue
            missed.add(await _read_between(log, partition, start, until))
        changes = self._take(subscription)
        marks = (*missed.marks, *changes.marks)
        return Changes(
            marks=marks[-MARKS_MAX:],
            position=changes.position,
            is_cut=missed.is_cut or changes.is_cut or len(marks) > MARKS_MAX,
        )

    # --- reading ----------------------------------------------------------------------

    async def _read_on(self, log: Log, partition: int) -> None:
        """Read a partition for ever; begin anew where the log fails."""
        while True:
            try:
                await self._read(log, partition)
            except (WorkflowError, OSError) as error:
                logger.warning(
                    "live.interrupted", partition=partition, reason=str(error)
                )
                for subscription in self._subscriptions:
                    subscription.is_cut = True
                    subscription.news.set()
                await asyncio.sleep(AGAIN_S)
                with contextlib.suppress(WorkflowError, OSError):
                    end = await log.end_offset(Topic.EVENTS, partition)
                    self._positions[partition] = end

    async def _read(self, log: Log, partition: int) -> None:
        start = self._positions[partition]
        events = ValidEvents(log, partition, start, EventFilter())
        try:
            while True:
                marks = await events.read_marks(max_wait_s=READ_WAIT_S)
                self._positions[partition] = events.next_offset
                for subscription in self._subscriptions:
                    if partition in subscription.partitions:
                        subscription.add(marks)
        finally:
            await events.close()


async def _read_between(
    log: Log, partition: int, start: int, until: int
) -> Sequence[EventMark]:
    events = ValidEvents(log, partition, start, EventFilter())
    marks: list[EventMark] = []
    try:
        while events.next_offset < until:
            marks += await events.read_marks(max_wait_s=READ_WAIT_S)
    finally:
        await events.close()
    return [mark for mark in marks if mark.offset < until]
