"""Backends of URLs, kept open between calls: opening one costs what ten calls cost.

Theory of operation. A call that is given a URL uses the backend that this process has
open for it, or opens one. When nobody has used it for a while, a thread closes it; the
end of the process closes what is left. That is when all threads but daemons have ended:
until then they, and `atexit` functions, may call. A child of a fork has none: the
threads and the files of its parent are not its own.
"""

from __future__ import annotations

import atexit
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.log.forked_child import keep_for_ever, leave_at_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from sayiir_es.client.backends.backend import Backend

KEPT_S = 1.0
"""How long, in seconds, a backend stays open behind the last call that used it."""

KEPT_IN_GROUP_S = 30.0
"""The same on Kafka, where it may take seconds to be assigned partitions again."""


def kept_s(backend: Backend) -> float:
    """How long one stays open behind the last call that used it, in seconds."""
    return KEPT_S if backend.owns_on_call else KEPT_IN_GROUP_S


@dataclass(slots=True, eq=False)
class KeptBackend:
    """A backend, how many calls use it, and since when none does (monotonic, s)."""

    backend: Backend
    calls: int = 0
    idle_since_s: float = 0.0

    def closes_at_s(self) -> float:
        """When it is to be closed if nobody uses it until then."""
        return self.idle_since_s + kept_s(self.backend)


class KeptBackends:
    """The backends of this process that were opened by a URL."""

    def __init__(self) -> None:
        self._reset()
        atexit.register(self.close)
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Have none in a forked child."""
        keep_for_ever(self._kept)
        self._reset()

    def _reset(self) -> None:
        self._kept: dict[str, KeptBackend] = {}
        self._is_ending = False
        self._changed = threading.Condition()
        self._closer: threading.Thread | None = None

    @contextmanager
    def use(self, key: str, make: Callable[[], Backend]) -> Generator[Backend]:
        """The backend of a key for one call; `make` makes one where there is none."""
        with self._changed:
            kept = self._kept.get(key)
            if kept is None:
                kept = self._kept[key] = KeptBackend(make())
            kept.calls += 1
        try:
            yield kept.backend
        finally:
            with self._changed:
                kept.calls -= 1
                kept.idle_since_s = time.monotonic()
                if self._closer is None:
                    self._closer = threading.Thread(
                        target=self._close_idle, name="sayiir-backends", daemon=True
                    )
                    self._closer.start()
            if self._is_ending:  # an `atexit` function called behind `close`
                self.close()

    def close(self) -> None:
        """Close those that no call uses: the process ends."""
        with self._changed:
            self._is_ending = True
            idle = [one.backend for one in self._kept.values() if not one.calls]
            self._kept.clear()
            self._changed.notify_all()
        for backend in idle:
            backend.close()

    def _close_idle(self) -> None:
        """Close what nobody uses, until nothing is left."""
        while True:
            with self._changed:
                idle = self._take_idle()
                if idle is None:
                    if not self._kept:
                        self._closer = None
                        return
                    self._changed.wait(self._wait_s())
                    continue
            idle.close()

    def _take_idle(self) -> Backend | None:
        now_s = time.monotonic()
        for key, kept in self._kept.items():
            if not kept.calls and kept.closes_at_s() <= now_s:
                del self._kept[key]
                return kept.backend
        return None

    def _wait_s(self) -> float:
        """How long until one may be idle for long enough, in seconds."""
        now_s = time.monotonic()
        ends = [kept.closes_at_s() for kept in self._kept.values() if not kept.calls]
        return max(min(ends, default=now_s + KEPT_S) - now_s, 0.01)


KEPT_BACKENDS = KeptBackends()
