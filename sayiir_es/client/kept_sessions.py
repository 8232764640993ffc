"""Sessions of URLs, kept open between calls: opening one costs what fifty calls cost.

Theory of operation. A coroutine that is given a file's URL uses the session that its
event loop has open for it, or opens one. When no call has used it for a while it is
closed; the end of the loop closes what is left, as it does those of backend objects.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.client.backends.kept import kept_s
from sayiir_es.client.loop_sessions import LoopSessions
from sayiir_es.core.model.errors import WorkflowError
from sayiir_es.log.forked_child import leave_at_fork
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sayiir_es.client.backends import Backend
    from sayiir_es.client.session import Session

logger = get_logger(__name__)


@dataclass(slots=True, eq=False)
class KeptSession:
    """The backend of a session, how many calls use it, and when it is closed."""

    backend: Backend
    calls: int = 0
    idle: asyncio.TimerHandle | None = None


class KeptSessions:
    """The sessions that calls have opened by a URL, by event loop."""

    def __init__(self) -> None:
        self._sessions = LoopSessions()
        self._kept: dict[asyncio.AbstractEventLoop, dict[str, KeptSession]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Have none in a forked child."""
        # Never ended: this object is kept for ever.
        self._parents = self._kept, self._closing
        self._kept, self._closing = {}, set()

    @asynccontextmanager
    async def use(self, made: Backend) -> AsyncGenerator[Session]:
        """The session on the log of `made` for one call; `made` itself if none is."""
        of_loop = self._of_this_loop()
        kept = of_loop.get(made.key)
        if kept is None:
            kept = of_loop[made.key] = KeptSession(made)
        kept.calls += 1
        if kept.idle is not None:
            kept.idle.cancel()
            kept.idle = None
        try:
            yield self._sessions.get(kept.backend)
        finally:
            kept.calls -= 1
            if not kept.calls:
                kept.idle = asyncio.get_running_loop().call_later(
                    kept_s(kept.backend), self._begin_closing, kept
                )

    async def close(self) -> None:
        """Close those of the running loop that no call uses."""
        idle = [one for one in self._of_this_loop().values() if not one.calls]
        await asyncio.gather(*[self._begin_closing(kept) for kept in idle])

    def _of_this_loop(self) -> dict[str, KeptSession]:
        loop = asyncio.get_running_loop()
        of_loop = self._kept.get(loop)
        if of_loop is None:
            # Their sessions were closed with them.
            for ended in [one for one in tuple(self._kept) if one.is_closed()]:
                self._kept.pop(ended, None)
            of_loop = self._kept[loop] = {}
        return of_loop

    def _begin_closing(self, kept: KeptSession) -> asyncio.Task[None]:
        if kept.idle is not None:
            kept.idle.cancel()
            kept.idle = None
        self._of_this_loop().pop(kept.backend.key, None)
        closing = asyncio.create_task(self._close(kept), name="idle-session")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        return closing

    async def _close(self, kept: KeptSession) -> None:
        try:
            await self._sessions.close(kept.backend)
        except WorkflowError as error:
            logger.warning(
                "session.close_failed", error_code=error.code, reason=str(error)
            )
        kept.backend.close()
