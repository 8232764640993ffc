"""`aio.WorkflowClient`: start, look at and control instances on one event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from sayiir_es.client.backends import Backend, as_backend
from sayiir_es.client.client_calls import ClientCalls
from sayiir_es.client.commands import conflict_policy as policy_of
from sayiir_es.client.loop_sessions import LoopSessions

if TYPE_CHECKING:
    from types import TracebackType


class WorkflowClient(ClientCalls):
    """A client of a backend, or of the backend that a URL names, for event loops.

    As `sayiir_es.WorkflowClient`, but its methods are coroutines. It has a session of
    its own on each event loop that it is used from, from the first call there to
    `aclose` or the end of the loop; an asynchronous context manager.
    """

    def __init__(
        self, backend: Backend | str, *, conflict_policy: str | None = None
    ) -> None:
        self._backend = as_backend(backend)
        self._owns_backend = isinstance(backend, str)
        self._sessions = LoopSessions()
        super().__init__(
            lambda: self._sessions.get(self._backend), policy_of(conflict_policy)
        )

    async def aclose(self) -> None:
        """Close the session of this event loop; the next call opens another."""
        await self._sessions.close()
        if self._owns_backend:
            self._backend.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
