"""What a new owner says at once, for clients on their way from the owner before.

A client that has subscribed, and connects to the next owner some milliseconds after
that has begun, must not miss that the partition is claimed: it would ask again only
when its patience ends. Whoever connects twice within that time gets them twice.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sayiir_es.log.embedded.socket_frames import TopicPartition

KEPT_S = 1.0
"""How long messages are kept, from the begin of the ownership on, in seconds."""

KEPT_BYTES_MAX = 1 << 20
"""How many bytes of frames are kept at most; what is more is not kept."""


class KeptMessages:
    """The frames of the messages of an owner that begins now."""

    def __init__(self) -> None:
        self._end_s = time.monotonic() + KEPT_S
        self._lock = threading.Lock()
        self._frames: list[tuple[TopicPartition, bytes]] = []
        self._bytes = 0

    @property
    def takes_more(self) -> bool:
        """Whether messages are kept still."""
        return time.monotonic() < self._end_s

    def add(self, to: TopicPartition, frame: bytes) -> None:
        """Keep a message, if there is room."""
        with self._lock:
            if self._bytes + len(frame) <= KEPT_BYTES_MAX:
                self._bytes += len(frame)
                self._frames.append((to, frame))

    def of(self, to: TopicPartition) -> list[bytes]:
        """The messages to a partition; none when the time is over."""
        if not self.takes_more:
            return []
        with self._lock:
            return [frame for kept_to, frame in self._frames if kept_to == to]
