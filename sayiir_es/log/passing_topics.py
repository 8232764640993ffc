"""Requests, replies and attempts within a process: passed on, and kept nowhere.

A message goes to the subscriptions of its partition, on whatever event loop they are.
Each holds so many bytes at most; a subscriber that does not read loses what is older.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from sayiir_es.log.notifier import Notifier
from sayiir_es.log.port import Record, Topic

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.log.port import NewRecord

HELD_BYTES_MAX = 64 << 20
"""How many bytes of messages one subscription holds; older ones are dropped."""

MESSAGE_BYTES = 200
"""What a message costs beside its value, about."""


class PassingTopics:
    """The topics of requests and replies of a log in memory; see `RequestTopics`."""

    reply_partitions = 1

    def __init__(self, now_ms: Callable[[], int] | None = None) -> None:
        """Hold nothing; `now_ms` gives the time of a message, in epoch milliseconds."""
        self._now_ms = now_ms or _system_now_ms
        self._lock = threading.Lock()
        self._notifier = Notifier()
        self._offsets = itertools.count()
        self._subscriptions: dict[tuple[Topic, int], list[PassingSubscription]] = {}

    async def open(self, *, create: bool) -> bool:  # noqa: ARG002 (of the port)
        """They are always there."""
        return True

    def post(self, topic: Topic, partition: int, record: NewRecord) -> bool:
        """Pass a message to those who have subscribed; whether there are any."""
        subscriptions = self._living(topic, partition)
        if not subscriptions:
            return False
        message = Record(
            offset=next(self._offsets),
            key=record.key,
            value=record.value,
            headers=record.headers,
            timestamp_ms=self._now_ms(),
        )
        for subscription in subscriptions:
            subscription.add(message)
        self._notifier.wake(subscriptions)
        return True

    def is_heard(self, partition: int) -> bool:
        """Whether somebody has subscribed to the requests on a partition."""
        return bool(self._living(Topic.REQUESTS, partition))

    def value_bytes_max(self, topic: Topic) -> int:  # noqa: ARG002 (of the port)
        """As many as a subscription holds: within a process messages have no size."""
        return HELD_BYTES_MAX

    async def subscribe(self, topic: Topic, partition: int) -> PassingSubscription:
        """Read a partition from now on."""
        subscription = PassingSubscription(self._notifier, self._drop)
        with self._lock:
            self._subscriptions.setdefault((topic, partition), []).append(subscription)
        return subscription

    def _living(self, topic: Topic, partition: int) -> tuple[PassingSubscription, ...]:
        """Those who read a partition: not those whose event loop has been closed."""
        with self._lock:
            subscriptions = self._subscriptions.get((topic, partition), [])
            subscriptions[:] = [one for one in subscriptions if one.is_read]
            return tuple(subscriptions)

    def _drop(self, subscription: PassingSubscription) -> None:
        with self._lock:
            for subscriptions in self._subscriptions.values():
                if subscription in subscriptions:
                    subscriptions.remove(subscription)


class PassingSubscription:
    """What was posted to one partition and is not read yet; see `Subscription`."""

    def __init__(
        self, notifier: Notifier, drop: Callable[[PassingSubscription], None]
    ) -> None:
        self._notifier = notifier
        self._drop = drop
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._held: deque[Record] = deque()
        self._held_bytes = 0

    @property
    def is_read(self) -> bool:
        """Whether its event loop may still read it."""
        return not self._loop.is_closed()

    def add(self, message: Record) -> None:
        """Hold a message until it is read."""
        with self._lock:
            self._held.append(message)
            self._held_bytes += _size(message)
            while self._held_bytes > HELD_BYTES_MAX and len(self._held) > 1:
                self._held_bytes -= _size(self._held.popleft())

    async def read(self) -> tuple[Record, ...]:
        """Wait until there are messages, and return them."""
        while True:
            waiter = self._notifier.waiter(self)
            try:
                messages = self._take()
                if messages:
                    return messages
                await waiter
            finally:
                self._notifier.forget(waiter)

    async def close(self) -> None:
        """Stop reading."""
        self._drop(self)

    def _take(self) -> tuple[Record, ...]:
        with self._lock:
            messages = tuple(self._held)
            self._held.clear()
            self._held_bytes = 0
        return messages


def _size(message: Record) -> int:
    return MESSAGE_BYTES + len(message.value or b"")


def _system_now_ms() -> int:
    return time.time_ns() // 1_000_000
