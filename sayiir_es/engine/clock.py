"""The clock port: wall time for events, monotonic time for waits."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks: wall time, and monotonic time, which never goes back."""

    def now_ms(self) -> int:
        """Wall time, in milliseconds since the Unix epoch."""
        ...

    def monotonic_s(self) -> float:
        """Time since some fixed moment, in seconds."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        """Wall time, in milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Time since some fixed moment, in seconds."""
        return time.monotonic()


class ManualClock:
    """Clocks that stand still until a test moves them."""

    def __init__(self, now_ms: int = 1_000_000) -> None:
        self._start_ms = self._now_ms = now_ms

    def now_ms(self) -> int:
        """Wall time, in milliseconds since the Unix epoch."""
        return self._now_ms

    def monotonic_s(self) -> float:
        """Time since the start, in seconds."""
        return (self._now_ms - self._start_ms) / 1000

    def move(self, ms: int) -> None:
        """Let so many milliseconds pass."""
        self._now_ms += ms
