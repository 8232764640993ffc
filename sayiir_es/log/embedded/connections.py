"""The connections of one process: to the owner of the log, or from its clients.

Theory of operation. The process that holds the owner lock listens; every other one that
has the log open is connected to it. All sockets are read on one thread with an event
loop of its own. A process without a connection waits at the named pipe `WakeFifo`: each
new owner wakes it once it listens. It opens the pipe before it tries to connect, so it
misses no owner. Nothing is tried again and again, except where the system has no such
pipe, or too many processes connect at once.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Protocol

from sayiir_es.log.descriptors import close_descriptor, close_socket, open_socket
from sayiir_es.log.embedded import socket_frames
from sayiir_es.log.embedded.fifo import WakeFifo
from sayiir_es.log.embedded.peer import Peer
from sayiir_es.log.embedded.socket_frames import Kind
from sayiir_es.log.embedded.socket_path import SocketPlace
from sayiir_es.log.forked_child import leave_at_fork, sever_loop
from sayiir_es.log.notifier import call_on
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from sayiir_es.log.embedded.socket_frames import Frame

logger = get_logger(__name__)

RETRY_S = 0.02
"""How often to connect is tried where no named pipe tells of a new owner."""

CROWD_RETRY_S = 0.002
"""How soon it is tried again when too many processes connect at once."""


class Handler(Protocol):
    """Who is told what the connections bring; called on their thread."""

    def greeting(self) -> Iterable[bytes]:
        """What a client says first: all that it has subscribed to and watches."""
        ...

    def changed(self) -> None:
        """There is another owner, or none: anything may have been missed."""
        ...

    def came(self, client: Peer) -> None:
        """A client has connected: it may have committed before."""
        ...

    def gone(self, client: Peer) -> None:
        """A client has disconnected."""
        ...

    def told_by_owner(self, frame: Frame) -> None:
        """The owner sent a frame."""
        ...

    def told_by_client(self, client: Peer, frame: Frame) -> None:
        """A client sent a frame."""
        ...


class Connections:
    """All sockets of this process for one log; started once, stopped once."""

    def __init__(self, path: Path, handler: Handler) -> None:
        self._path = path
        self._handler = handler
        self._place = SocketPlace(path)
        self._fifo = WakeFifo(path)
        self._lock = threading.Lock()
        self._serves = False
        self._is_stopped = False
        self._listener: socket.socket | None = None
        self._owner: Peer | None = None
        self._clients: tuple[Peer, ...] = ()
        self._greeted: set[Peer] = set()
        """Those whose first frame has come. On the thread alone."""
        self._wake_fd = -1  # on the thread alone
        self._retry: asyncio.TimerHandle | None = None
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(
            target=self._run, name="sayiir-socket", daemon=True
        )
        leave_at_fork(self)

    @property
    def owner(self) -> Peer | None:
        """The owner, where this process is connected to it."""
        return self._owner

    def find_owner(self) -> Peer | None:
        """The owner; connects first, where one listens that was not heard of yet."""
        owner = self._owner
        if owner is None and self._may_connect():
            self._try_connect()
            owner = self._owner
            if owner is not None:
                self._call(self._connect)  # reads it
        return None if owner is None or owner.is_broken else owner

    @property
    def clients(self) -> tuple[Peer, ...]:
        """The clients, where this process is the owner."""
        return self._clients

    @property
    def serves(self) -> bool:
        """Whether this process is the owner."""
        return self._serves

    @property
    def listens(self) -> bool:
        """Whether clients can connect to this process."""
        return self._listener is not None

    def start(self) -> None:
        """Start the thread, and connect at once if there is an owner."""
        self._try_connect()
        self._thread.start()
        self._call(self._connect)

    def stop(self) -> None:
        """Close everything; does not wait for it."""
        with self._lock:
            self._is_stopped = True
        self._call(self._shut)

    def serve(self) -> None:
        """Listen from now on; this process has the owner lock."""
        with self._lock:
            self._serves = True
            owner, self._owner = self._owner, None
        try:
            listener = self._place.listen()
        except OSError as error:
            logger.warning("socket.refused", reason=str(error))
            listener = None
        self._listener = listener
        self._call(lambda: self._begin_serving(owner, listener))
        self._fifo.wake()

    def stop_serving(self) -> None:
        """Listen no more; the owner lock is about to be released."""
        if self._listener is not None:
            self._place.remove()
        with self._lock:
            self._serves = False
            listener, self._listener = self._listener, None
            clients, self._clients = self._clients, ()
        self._call(lambda: self._end_serving(listener, clients))

    def wake_all(self) -> None:
        """Wake every process that has no connection."""
        self._fifo.wake()

    def leave_to_parent(self) -> None:
        """Leave in a forked child the event loop that reads the sockets."""
        sever_loop(self._loop)

    # --- on the thread ----------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _call(self, work: Callable[[], None]) -> None:
        call_on(self._loop, work)

    def _try_connect(self) -> bool:
        """Connect if there is an owner; whether it is to be tried again soon."""
        if not self._may_connect():
            return False
        connection, is_crowded = self._place.connect()
        if connection is None:
            return is_crowded
        peer = Peer(connection, lambda: self._call(lambda: self._look_at(peer)))
        peer.send(socket_frames.hello())
        with self._lock:
            if not self._may_connect():
                peer.close()
                return False
            self._owner = peer
        # Behind that: who subscribes meanwhile either finds the owner or is in here.
        for frame in self._handler.greeting():
            peer.send(frame)
        self._handler.changed()
        return False

    def _may_connect(self) -> bool:
        return self._owner is None and not self._serves and not self._is_stopped

    def _connect(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._is_stopped:
            return
        if self._wake_fd < 0 and self._owner is None and not self.listens:
            self._listen_for_wakes()
        is_crowded = self._try_connect()
        owner = self._owner
        if owner is not None:
            self._end_wakes()
            self._loop.add_reader(owner.connection, self._read_owner, owner)
            self._look_at(owner)
        elif not self.listens and (is_crowded or self._wake_fd < 0):
            delay_s = CROWD_RETRY_S if is_crowded else RETRY_S
            self._retry = self._loop.call_later(delay_s, self._retry_connecting)

    def _retry_connecting(self) -> None:
        self._connect()
        if self._wake_fd < 0 and self._owner is None and not self.listens:
            self._handler.changed()  # nobody else tells of what others commit

    def _listen_for_wakes(self) -> None:
        self._end_wakes()
        self._wake_fd = self._fifo.listen()
        if self._wake_fd >= 0:
            self._loop.add_reader(self._wake_fd, self._on_wake)

    def _end_wakes(self) -> None:
        fd, self._wake_fd = self._wake_fd, -1
        if fd >= 0:
            self._loop.remove_reader(fd)
            close_descriptor(fd)

    def _on_wake(self) -> None:
        self._end_wakes()
        self._connect()
        self._handler.changed()

    def _read_owner(self, owner: Peer) -> None:
        for frame in owner.receive():
            if owner in self._greeted:
                self._handler.told_by_owner(frame)
            else:
                self._greet(owner, frame)
        if owner.is_broken:
            self._lose(owner)

    def _lose(self, owner: Peer) -> None:
        was_greeted = owner in self._greeted
        self._drop(owner)
        with self._lock:
            if self._owner is owner:
                self._owner = None
        if was_greeted:
            self._connect()
        else:  # it did not talk to us: not at once again
            self._listen_for_wakes()
            self._retry = self._loop.call_later(RETRY_S, self._connect)
        self._handler.changed()
        if self._owner is None:
            self._fifo.wake()  # what this process told the owner may be lost

    def _begin_serving(
        self, owner: Peer | None, listener: socket.socket | None
    ) -> None:
        if owner is not None:
            self._drop(owner)
        if listener is None:
            self._connect()  # hears the wakes of processes without a connection
        elif listener.fileno() >= 0:
            self._end_wakes()
            self._loop.add_reader(listener, self._accept, listener)
        self._handler.changed()

    def _end_serving(
        self, listener: socket.socket | None, clients: Iterable[Peer]
    ) -> None:
        for client in clients:
            self._drop(client)
        if listener is not None:
            self._loop.remove_reader(listener)
            close_socket(listener)
        self._connect()
        self._handler.changed()

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection = open_socket(lambda: listener.accept()[0])
        except OSError:  # it has gone, or no descriptor is left
            return
        connection.setblocking(False)  # noqa: FBT003 (of the library)
        client = Peer(connection, lambda: self._call(lambda: self._look_at(client)))
        with self._lock:
            if self._listener is not listener:
                client.close()
                return
            self._clients += (client,)
        client.send(socket_frames.hello())
        self._loop.add_reader(connection, self._read_client, client)

    def _read_client(self, client: Peer) -> None:
        for frame in client.receive():
            if client in self._greeted:
                self._handler.told_by_client(client, frame)
            elif self._greet(client, frame):
                self._handler.came(client)
        if client.is_broken:
            self._lose_client(client)

    def _lose_client(self, client: Peer) -> None:
        self._drop(client)
        with self._lock:
            self._clients = tuple(peer for peer in self._clients if peer is not client)
        self._handler.gone(client)

    def _greet(self, peer: Peer, frame: Frame) -> bool:
        if frame.kind is Kind.HELLO and frame.number == socket_frames.VERSION:
            self._greeted.add(peer)
            return True
        peer.is_broken = True
        return False

    def _look_at(self, peer: Peer) -> None:
        """Send on what a peer did not take at once, or drop it."""
        if peer.connection.fileno() < 0:
            return
        if peer.is_broken:
            if peer is self._owner:
                self._lose(peer)
            elif peer in self._clients:
                self._lose_client(peer)
        elif peer.has_unsent:
            self._loop.add_writer(peer.connection, self._send_unsent, peer)

    def _send_unsent(self, peer: Peer) -> None:
        peer.send_unsent()
        if not peer.has_unsent:
            self._loop.remove_writer(peer.connection)
        if peer.is_broken:
            self._look_at(peer)

    def _drop(self, peer: Peer) -> None:
        if peer.connection.fileno() >= 0:
            self._loop.remove_reader(peer.connection)
            self._loop.remove_writer(peer.connection)
        self._greeted.discard(peer)
        peer.close()

    def _shut(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        if self._listener is not None:
            close_socket(self._listener)
        self._end_wakes()
        owner, self._owner = self._owner, None
        for peer in (*self._clients, *((owner,) if owner is not None else ())):
            self._drop(peer)
        self._loop.stop()
