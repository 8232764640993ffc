"""One connection of the Unix socket: frames out from any thread, frames in from one."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sayiir_es.log.descriptors import close_socket
from sayiir_es.log.embedded.socket_frames import FRAME_BYTES_MAX, Frame, decode
from sayiir_es.wire.msgpack_frames import FrameBuffer, FrameError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from sayiir_es.log.embedded.socket_frames import TopicPartition

NOBODY, CALL, WORKER = 0, 1, 2
"""By whom a process wants to own the log."""

UNSENT_BYTES_MAX = 16 << 20
"""What waits for a peer that does not read, in bytes; with more it is disconnected."""

_PIECE_BYTES = 256 << 10


class Peer:
    """The process at the other end.

    A frame is sent at once by the thread that has it, as far as the socket takes it;
    the hub's thread sends the rest.
    """

    def __init__(
        self, connection: socket.socket, on_unsent: Callable[[], None]
    ) -> None:
        self.connection = connection
        self.subscriptions: set[TopicPartition] = set()
        self.watched: set[TopicPartition] = set()
        self.wants_ownership = NOBODY
        self.is_broken = False
        self._on_unsent = on_unsent
        self._lock = threading.Lock()
        self._unsent = bytearray()
        self._received = FrameBuffer(FRAME_BYTES_MAX)

    @property
    def has_unsent(self) -> bool:
        """Whether something waits until the socket takes more."""
        return bool(self._unsent)

    def send(self, frame: bytes) -> None:
        """Send a frame, now or when the socket takes it; lost if the peer has gone."""
        with self._lock:
            if self.is_broken:
                return
            was_unsent = bool(self._unsent)
            if was_unsent:
                self._unsent += frame
            else:
                self._unsent += frame[self._send_some(frame) :]
            if len(self._unsent) > UNSENT_BYTES_MAX:
                self.is_broken = True
            needs_thread = self.is_broken or (self._unsent and not was_unsent)
        if needs_thread:
            self._on_unsent()

    def send_unsent(self) -> None:
        """Send on what waits, as far as the socket takes it."""
        with self._lock:
            if not self.is_broken:
                sent = self._send_some(bytes(self._unsent[:_PIECE_BYTES]))
                del self._unsent[:sent]

    def receive(self) -> list[Frame]:
        """Return the frames that came; marks the peer as broken when it has gone."""
        try:
            piece = self.connection.recv(_PIECE_BYTES)
            if piece:
                return [decode(content) for content in self._received.add(piece)]
        except (BlockingIOError, InterruptedError):
            return []
        except (OSError, FrameError):
            pass
        self.is_broken = True
        return []

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self.is_broken = True
            self._unsent.clear()
            close_socket(self.connection)

    def _send_some(self, piece: bytes) -> int:
        """Return how many bytes the socket took."""
        try:
            return self.connection.send(piece)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self.is_broken = True
            return 0
