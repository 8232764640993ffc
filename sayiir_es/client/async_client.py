"""`aio.WorkflowClient`: start, look at and control instances on one event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from sayiir_es.client.backends import Backend, as_backend
from sayiir_es.client.client_calls import ClientCalls
from sayiir_es.client.commands import conflict_policy as policy_of

if TYPE_CHECKING:
    from types import TracebackType

    from sayiir_es.client.session import Session


class WorkflowClient(ClientCalls):
    """A client of a backend, or of the backend that a URL names, on one event loop.

    As `sayiir_es.WorkflowClient`, but its methods are coroutines. It has a session of
    its own from the first call to `aclose`; an asynchronous context manager.
    """

    def __init__(
        self, backend: Backend | str, *, conflict_policy: str | None = None
    ) -> None:
        self._backend = as_backend(backend)
        self._owns_backend = isinstance(backend, str)
        self._session: Session | None = None
        super().__init__(self._open_session, policy_of(conflict_policy))

    def _open_session(self) -> Session:
        if self._session is None:
            self._session = self._backend.new_session()
        return self._session

    async def aclose(self) -> None:
        """Close the session; the next call opens another."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
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
