"""`Backend`: the session and the event loop that synchronous calls share.

A backend keeps one session on an event loop of its own, so that synchronous code can
use it like a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from sayiir_es.client.backend_port import BackendPort
from sayiir_es.client.loop_thread import LoopThread

if TYPE_CHECKING:
    from types import TracebackType

    from sayiir_es.client.session import Session


class Backend(BackendPort):
    """A log and a place for state.

    Usable as a context manager, and without one.
    """

    def __init__(self) -> None:
        self._thread: LoopThread | None = None
        self._session: Session | None = None

    def new_session(self) -> Session:
        """A session for one event loop; whoever opened it closes it."""
        from sayiir_es.client.session import Session  # noqa: PLC0415 (slow to import)

        return Session(self)

    @property
    def thread(self) -> LoopThread:
        """The event loop on which synchronous calls run."""
        if self._thread is None:
            self._thread = LoopThread(f"sayiir-{type(self).__name__}")
        return self._thread

    @property
    def session(self) -> Session:
        """The session that synchronous calls share."""
        if self._session is None:
            self._session = self.new_session()
        return self._session

    def is_on_thread(self) -> bool:
        """Whether the caller runs on the event loop of the synchronous calls."""
        return self._thread is not None and self._thread.is_current()

    def close(self) -> None:
        """Close the session and its event loop; the log keeps what it holds."""
        thread, session = self._thread, self._session
        self._thread = self._session = None
        if thread is not None:
            if session is not None:
                thread.call(session.close())
            thread.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
