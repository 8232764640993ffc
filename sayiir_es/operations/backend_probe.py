"""Whether a backend answers, asked as often as anybody wants to know."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import AppNotFoundError, WorkflowError
from sayiir_es.log.port import Topic
from sayiir_es.operations.worker_health import Health, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.client.session import Session

ANSWER_LIMIT_S = 3.0
"""How long a backend may take: whoever probes waits a few seconds at most."""

FRESH_S = 1.0
"""For how long an answer is told again: probes of many cost one question a second."""


class BackendProbe:
    """Asks the log of a session for an end of a partition."""

    def __init__(self, session: Callable[[], Session]) -> None:
        """`session` gives the one of the running event loop."""
        self._session = session
        self._lock = asyncio.Lock()
        self._asked_at_s = float("-inf")
        self.last = Health()
        """The last answer; good before the first."""

    async def ask(self) -> Health:
        """Whether the backend answers, as of a second ago at most."""
        async with self._lock:
            if time.monotonic() - self._asked_at_s > FRESH_S:
                self.last = await self._look()
                self._asked_at_s = time.monotonic()
            return self.last

    async def _look(self) -> Health:
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                session = self._session()
                await session.open()
                await session.log.end_offset(Topic.EVENTS, 0)
        except AppNotFoundError:
            return Health(
                notes=("the app does not exist yet: its first worker makes it",)
            )
        except TimeoutError:
            text = f"expected the backend to answer within {ANSWER_LIMIT_S:g} s, "
            return _unready("log_unavailable", f"{text}but nothing came")
        except WorkflowError as error:
            return _unready(error.code, str(error))
        return Health()


def _unready(code: str, message: str) -> Health:
    return Health(problems=(Problem(code=code, message=message),))
