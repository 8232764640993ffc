"""How long to wait before something that failed is tried again."""

from __future__ import annotations

import asyncio
import zlib

BACKOFF_FIRST_S = 0.05
BACKOFF_MOST_S = 5.0
"""The first wait and the longest one, in seconds; each wait doubles the one before."""


class Backoff:
    """Waits that grow.

    Each name has waits of its own length, between 75 % and 125 %, so that many that
    failed together are not tried again together. `most_s` is the longest, in seconds.
    """

    def __init__(self, name: str, *, most_s: float = BACKOFF_MOST_S) -> None:
        self._most_s = most_s
        self._factor = 0.75 + (zlib.crc32(name.encode()) % 1000) / 2000
        self._next_s = BACKOFF_FIRST_S

    async def pause(self) -> None:
        """Wait; the next wait will be longer."""
        wait_s = self._next_s * self._factor
        self._next_s = min(self._next_s * 2, self._most_s)
        await asyncio.sleep(wait_s)

    def reset(self) -> None:
        """Begin again with the first wait: what failed before works."""
        self._next_s = BACKOFF_FIRST_S
