"""What the objects of one process share that use the same log file.

Theory of operation. All logs and owner locks of a process on one file have one hub.
Messages of requests and replies are passed through it, and it wakes readers. Between
processes it does so over the connections (module `connections`): a client tells the
owner, and the owner tells the clients that asked for it. Whenever a connection begins
or ends, both sides wake all who wait: what they missed they find in the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from sayiir_es.log.embedded import socket_frames
from sayiir_es.log.embedded.connections import Connections
from sayiir_es.log.embedded.hub_subscription import HubSubscription
from sayiir_es.log.embedded.kept_messages import KeptMessages
from sayiir_es.log.embedded.peer import CALL, NOBODY, WORKER
from sayiir_es.log.embedded.socket_frames import Kind
from sayiir_es.log.embedded.watched_partitions import WatchedPartitions
from sayiir_es.log.notifier import Notifier
from sayiir_es.log.passing_topics import PassingTopics

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sayiir_es.log.embedded.peer import Peer
    from sayiir_es.log.embedded.socket_frames import Frame, TopicPartition
    from sayiir_es.log.port import NewRecord, Topic

REPLY_PARTITIONS = 32
"""Nothing is kept of them, so they cost little: a process has one for itself, about."""

CONFIRM_LIMIT_S = 1.0
"""How long a subscription waits for the owner to know of it."""

SUBSCRIBED_BEFORE = 0
"""The number of a subscription that the owner before knew, or may have known."""

OWNER, WANTED = "owner", "wanted"


class Hub:
    """Messages, wakes and connections of one process for the log at `path`."""

    reply_partitions = REPLY_PARTITIONS

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notifier = Notifier()
        """Wakes those who wait for records; the subject is topic and partition."""
        self.ownership = Notifier()
        """Wakes those who wait to own the log (`OWNER`), or to hear that somebody does
        (`WANTED`)."""
        self._confirmations = Notifier()
        self._numbers = itertools.count(1)
        self._unconfirmed: set[int] = set()
        self._kept = KeptMessages()
        self._lock = threading.Lock()
        self._passing = PassingTopics()
        self._subscriptions: Counter[TopicPartition] = Counter()
        self._watched = WatchedPartitions()
        self._waiting: Counter[int] = Counter()
        self._uses = 0
        self._connections: Connections | None = None

    # --- use --------------------------------------------------------------------------

    def use(self) -> None:
        """Connect, if this is the first use; each use is ended by `end_use`."""
        with self._lock:
            self._uses += 1
            if self._connections is not None:
                return
            connections = self._connections = Connections(self.path, self)
        connections.start()

    def end_use(self) -> None:
        """End a use; the last one closes the connections."""
        with self._lock:
            self._uses -= 1
            if self._uses > 0:
                return
            self._uses = 0
            connections, self._connections = self._connections, None
        if connections is not None:
            connections.stop()

    # --- ownership --------------------------------------------------------------------

    @property
    def sees_owner(self) -> bool:
        """Whether the end of the present owner wakes those who wait at `OWNER`."""
        connections = self._connections
        return connections is not None and (
            connections.serves or connections.owner is not None
        )

    @property
    def wanted_by(self) -> int:
        """Who waits to own the log, in any process: `NOBODY`, a `CALL`, a `WORKER`."""
        connections = self._connections
        clients = connections.clients if connections is not None else ()
        return max([self._waits_here(), *(c.wants_ownership for c in clients)])

    def _waits_here(self) -> int:
        return next((who for who in (WORKER, CALL) if self._waiting[who] > 0), NOBODY)

    def begin_owning(self) -> None:
        """This process has got the owner lock."""
        self._kept = KeptMessages()
        self.use()
        if self._connections is not None:
            self._connections.serve()

    def end_owning(self) -> None:
        """The owner lock is about to be released."""
        if self._connections is not None:
            self._connections.stop_serving()

    def owner_has_gone(self) -> None:
        """The owner lock was released."""
        self.ownership.wake((OWNER,))
        if self._connections is not None:
            self._connections.wake_all()
        self.end_use()

    def begin_waiting(self, who: int) -> None:
        """A worker of this process waits to own the log, or a call has so for long."""
        self.use()
        self._count_waiting(who, 1)

    def end_waiting(self, who: int) -> None:
        """It waits no longer."""
        self._count_waiting(who, -1)
        self.end_use()

    # --- requests and replies ---------------------------------------------------------

    async def open(self, *, create: bool) -> bool:  # noqa: ARG002 (of the port)
        """They are always there."""
        return True

    def post(self, topic: Topic, partition: int, record: NewRecord) -> bool:
        """Pass a message to those who have subscribed, in every process.

        Returns whether there may be any. Other processes do not get it if it is larger
        than a frame may be.
        """
        is_heard = self._passing.post(topic, partition, record)
        connections = self._connections
        if connections is None:
            return is_heard
        to = (topic, partition)
        owner = connections.find_owner()
        receivers = (
            (owner,)
            if owner is not None
            else [c for c in connections.clients if to in c.subscriptions]
        )
        is_kept = connections.serves and self._kept.takes_more
        frame = socket_frames.post(to, record) if receivers or is_kept else None
        if frame is None:
            return is_heard
        if is_kept:
            self._kept.add(to, frame)
        for receiver in receivers:
            receiver.send(frame)
        return is_heard or bool(receivers)

    def is_heard(self, partition: int) -> bool:
        """Whether an owner may hear requests on a partition, as far as is known."""
        if self._passing.is_heard(partition):
            return True
        connections = self._connections
        return connections is not None and connections.find_owner() is not None

    def value_bytes_max(self, topic: Topic) -> int:  # noqa: ARG002 (of the port)
        """What a frame to another process holds, beside a key and headers."""
        return socket_frames.VALUE_BYTES_MAX

    async def subscribe(self, topic: Topic, partition: int) -> HubSubscription:
        """Read a partition from now on, whoever posts to it."""
        to = (topic, partition)
        passed = await self._passing.subscribe(topic, partition)
        with self._lock:
            self._subscriptions[to] += 1
        subscription = HubSubscription(passed, lambda: self._unsubscribe(to))
        try:
            await self._subscribe_at_owner(to)
        except BaseException:
            await subscription.close()
            raise
        return subscription

    async def _subscribe_at_owner(self, to: TopicPartition) -> None:
        """Return when the owner knows of it; of an owner that stands still, too.

        Then messages are lost, and whoever asked asks again.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONFIRM_LIMIT_S):
                while True:
                    connections = self._connections
                    owner = None if connections is None else connections.find_owner()
                    if owner is None or await self._is_confirmed(to, owner):
                        return

    async def _is_confirmed(self, to: TopicPartition, owner: Peer) -> bool:
        """Whether it is confirmed before the connection to this owner ends."""
        number = next(self._numbers)
        self._unconfirmed.add(number)
        try:
            owner.send(socket_frames.subscribe(to, number))
            while number in self._unconfirmed and not owner.is_broken:
                waiter = self._confirmations.waiter(number)
                try:
                    if number in self._unconfirmed and not owner.is_broken:
                        await waiter
                finally:
                    self._confirmations.forget(waiter)
            return number not in self._unconfirmed
        finally:
            self._unconfirmed.discard(number)

    def _unsubscribe(self, to: TopicPartition) -> None:
        with self._lock:
            self._subscriptions[to] -= 1
            if self._subscriptions[to] > 0:
                return
            del self._subscriptions[to]
            self._tell_owner(socket_frames.of_partition(Kind.UNSUBSCRIBE, to))

    # --- commits ----------------------------------------------------------------------

    def watch(self, to: TopicPartition) -> None:
        """From now on, wake waiters for a partition at commits of other processes, too.

        Call it behind the making of the waiter, before the file is looked at.
        """
        with self._lock:
            if self._watched.add(to):
                self._tell_owner(socket_frames.of_partition(Kind.WATCH, to))

    def committed(self, changed: Iterable[TopicPartition]) -> None:
        """Wake all who wait for records of these partitions, in every process."""
        changed = set(changed)
        self.notifier.wake(changed)
        connections = self._connections
        if connections is None:
            return
        owner = connections.owner
        if owner is not None:
            for to in changed:
                owner.send(socket_frames.of_partition(Kind.COMMITTED, to))
        elif connections.listens:
            self._tell_clients(changed, connections.clients)
        else:
            connections.wake_all()

    # --- what the connections bring ---------------------------------------------------

    def greeting(self) -> Iterator[bytes]:
        """What this process says first, as a client."""
        with self._lock:
            for to in self._subscriptions:
                yield socket_frames.subscribe(to, SUBSCRIBED_BEFORE)
            for to in self._watched:
                yield socket_frames.of_partition(Kind.WATCH, to)
            if self._waits_here():
                yield socket_frames.wanted(self._waits_here())

    def changed(self) -> None:
        """Wake all: there is another owner, or none."""
        self.notifier.wake()
        self._confirmations.wake()
        self.ownership.wake()

    def came(self, client: Peer) -> None:
        """A client has connected: what it committed before was told to nobody."""
        self.notifier.wake()
        connections = self._connections
        if connections is not None:
            for other in connections.clients:
                if other is not client:
                    self._tell_clients(tuple(other.watched), (other,))

    def gone(self, client: Peer) -> None:
        """A client has disconnected."""
        if client.wants_ownership:
            self.ownership.wake((WANTED,))

    def told_by_owner(self, frame: Frame) -> None:
        """The owner passed a message, or told of a commit."""
        to = frame.topic_partition
        if frame.kind is Kind.POST and frame.record is not None:
            self._passing.post(*to, frame.record)
        elif frame.kind is Kind.COMMITTED:
            self._wake_watchers(to)
        elif frame.kind is Kind.SUBSCRIBED:
            self._unconfirmed.discard(frame.number)
            self._confirmations.wake((frame.number,))

    def told_by_client(self, client: Peer, frame: Frame) -> None:
        """A client said something."""
        to, kind = frame.topic_partition, frame.kind
        if kind is Kind.POST and frame.record is not None:
            self._pass_on(client, to, frame.record)
        elif kind is Kind.COMMITTED:
            self.notifier.wake((to,))
            connections = self._connections
            if connections is not None:
                others = [c for c in connections.clients if c is not client]
                self._tell_clients((to,), others)
        else:
            self._note_wish(client, frame)

    def _note_wish(self, client: Peer, frame: Frame) -> None:
        """A client said what it wants to be told, or that it wants to own the log."""
        to, kind = frame.topic_partition, frame.kind
        if kind is Kind.SUBSCRIBE:
            client.subscriptions.add(to)
            if frame.number == SUBSCRIBED_BEFORE:
                for kept in self._kept.of(to):
                    client.send(kept)
            client.send(socket_frames.subscribed(frame.number))
        elif kind is Kind.UNSUBSCRIBE:
            client.subscriptions.discard(to)
        elif kind is Kind.WATCH:
            client.watched.add(to)
            # What was committed since the client looked at the file it was not told.
            client.send(socket_frames.of_partition(Kind.COMMITTED, to))
        elif kind is Kind.UNWATCH:
            client.watched.discard(to)
        elif kind is Kind.WANTED:
            client.wants_ownership = frame.number
            self.ownership.wake((WANTED,))

    def _pass_on(self, sender: Peer, to: TopicPartition, record: NewRecord) -> None:
        self._passing.post(*to, record)
        connections = self._connections
        clients = connections.clients if connections is not None else ()
        receivers = [c for c in clients if c is not sender and to in c.subscriptions]
        frame = socket_frames.post(to, record) if receivers else None
        if frame is not None:
            for receiver in receivers:
                receiver.send(frame)

    def _wake_watchers(self, to: TopicPartition) -> None:
        was_awaited = self.notifier.wake((to,)) > 0
        with self._lock:
            # Whoever waits by now relies on being told: it found `to` in there.
            if self._watched.told(to, read=was_awaited or self.notifier.is_awaited(to)):
                self._tell_owner(socket_frames.of_partition(Kind.UNWATCH, to))

    def _tell_owner(self, frame: bytes) -> None:
        owner = self._connections.owner if self._connections is not None else None
        if owner is not None:
            owner.send(frame)

    def _tell_clients(
        self, changed: Iterable[TopicPartition], clients: Iterable[Peer]
    ) -> None:
        for to in changed:
            frame = socket_frames.of_partition(Kind.COMMITTED, to)
            for client in clients:
                if to in client.watched:
                    client.send(frame)

    def _count_waiting(self, who: int, change: int) -> None:
        with self._lock:
            before = self._waits_here()
            self._waiting[who] += change
            if self._waits_here() != before:
                self._tell_owner(socket_frames.wanted(self._waits_here()))
        self.ownership.wake((WANTED,))


# Held by their users alone.
_hubs: WeakValueDictionary[Path, Hub] = WeakValueDictionary()
_hubs_lock = threading.Lock()


def hub_of(path: Path) -> Hub:
    """The hub of this process for the log at an absolute path without links."""
    with _hubs_lock:
        return _hubs.setdefault(path, Hub(path))


def _begin_anew() -> None:
    """In a forked child: the hubs are its parent's, with all who wait at them."""
    global _hubs, _hubs_lock  # noqa: PLW0603 (the parent's may be taken)
    _hubs = WeakValueDictionary[Path, Hub]()
    _hubs_lock = threading.Lock()


os.register_at_fork(after_in_child=_begin_anew)
