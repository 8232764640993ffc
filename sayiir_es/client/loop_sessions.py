"""Sessions by event loop: opened at first use, closed with their loop.

Theory of operation. A session belongs to the event loop that opened it. Loops are many
in some programs, one for each `asyncio.run`, and nobody closes a session there. So each
session has an asynchronous generator on its loop that waits to be closed: a loop that
ends closes its generators (`loop.shutdown_asyncgens`, which `asyncio.run` calls when
all tasks have ended), and this one closes the session. What a loop leaves that is
closed without it is dropped at the next use of any session. A child of a fork has no
session: those of its parent are not its own.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakSet

from sayiir_es.client.loop_thread import finish_before_exit, run_on_own_loop
from sayiir_es.log.call_thread import CallThread
from sayiir_es.log.forked_child import leave_at_fork

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sayiir_es.client.backends import Backend
    from sayiir_es.client.session import Session


@dataclass(slots=True, eq=False)
class LoopSession:
    """A session, and what closes it at the end of its loop."""

    session: Session
    closer: AsyncGenerator[None]


class LoopSessions:
    """The sessions of one client, or of all functions."""

    def __init__(self) -> None:
        self._begin()
        _all.add(self)
        leave_at_fork(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[asyncio.AbstractEventLoop, dict[Backend, LoopSession]] = {}

    def leave_to_parent(self) -> None:
        """Have none in a forked child."""
        self._parents = self._open  # never ended: this object is kept for ever
        self._begin()

    def get(self, backend: Backend) -> Session:
        """The session of the running loop on a backend."""
        loop = asyncio.get_running_loop()
        opened = self._open.get(loop, {}).get(backend)
        if opened is None:
            for sessions in tuple(_all):
                sessions.drop_ended()
            session = backend.new_session()
            opened = LoopSession(session, self._close_at_end(loop, backend, session))
            _begin(opened.closer)
            with self._lock:
                self._open.setdefault(loop, {})[backend] = opened
        return opened.session

    async def close(self, backend: Backend | None = None) -> None:
        """Close the sessions of the running loop: on a backend, or all."""
        sessions = self._open.get(asyncio.get_running_loop(), {})
        for key in [backend] if backend is not None else list(sessions):
            opened = sessions.get(key)
            if opened is not None:
                await opened.closer.aclose()

    def drop_ended(self) -> None:
        """Drop the sessions of loops that were closed without closing them."""
        with self._lock:
            ended = [loop for loop in self._open if loop.is_closed()]
            dropped = [one for loop in ended for one in self._open.pop(loop).values()]
        for one in dropped:
            _abandon(one.session)

    async def _close_at_end(
        self, loop: asyncio.AbstractEventLoop, backend: Backend, session: Session
    ) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            with self._lock:
                of_loop = self._open.get(loop, {})
                of_loop.pop(backend, None)
                if not of_loop:
                    self._open.pop(loop, None)
            try:
                await session.close()
            except BaseException:
                _abandon(session)
                raise


def _begin(closer: AsyncGenerator[None]) -> None:
    """Run a generator to its first `yield`, which awaits nothing: its loop knows it."""
    with suppress(StopIteration):
        closer.__anext__().__await__().send(None)


def _abandon(session: Session) -> None:
    """Give back on a thread what a session has; does not wait for it."""
    thread = CallThread("sayiir-abandon")
    finish_before_exit(thread.submit(lambda: run_on_own_loop(session.abandon())))
    thread.close()


_all: WeakSet[LoopSessions] = WeakSet()
