"""`Backend`: the session and the event loop that synchronous calls share.

A backend keeps one session on an event loop of its own, so that synchronous code can
use it like a value.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Self

from sayiir_es.client.backend_port import BackendPort
from sayiir_es.client.loop_thread import LoopThread
from sayiir_es.environment import tell_unknown
from sayiir_es.log.forked_child import keep_for_ever, leave_at_fork
from sayiir_es.telemetry import get_logger
from sayiir_es.wire.payload_codec import Payloads

if TYPE_CHECKING:
    from types import TracebackType

    from sayiir_es.client.session import Session
    from sayiir_es.wire.payload_codec import Codecs

logger = get_logger(__name__)

_opening = threading.RLock()
"""Held while a loop or a session is made: synchronous calls come from any thread. It is
no part of a backend, which may be sent to another process before its first use."""


def _begin_anew() -> None:
    global _opening  # noqa: PLW0603 (the parent's may be taken)
    _opening = threading.RLock()


os.register_at_fork(after_in_child=_begin_anew)


class Backend(BackendPort):
    """A log and a place for state.

    `codec` makes bytes of values; of several the first writes, and each reads what it
    wrote. Without one values stand in the log as JSON.

    Usable as a context manager, and without one.
    """

    def __init__(self, codec: Codecs | None = None) -> None:
        if codec is not None:
            self.payloads = Payloads(codec)
        self._thread: LoopThread | None = None
        self._session: Session | None = None
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Begin anew in a forked child: the session and its loop are the parent's."""
        keep_for_ever((self._thread, self._session))
        self._thread = self._session = None

    @property
    def key(self) -> str:
        """The same for every backend of one log."""
        return self.url

    def new_session(self) -> Session:
        """A session for one event loop; whoever opened it closes it."""
        from sayiir_es.client.session import Session  # noqa: PLC0415 (slow to import)

        tell_unknown(lambda text: logger.warning("settings.ignored", reason=text))
        return Session(self)

    @property
    def thread(self) -> LoopThread:
        """The event loop on which synchronous calls run."""
        with _opening:
            if self._thread is None:
                name = f"sayiir-{type(self).__name__}"
                self._thread = LoopThread(name, at_exit=self.close)
            return self._thread

    @property
    def session(self) -> Session:
        """The session that synchronous calls share."""
        with _opening:
            if self._session is None:
                self._session = self.new_session()
            return self._session

    def warnings(self) -> tuple[str, ...]:
        """What is set in vain for this backend, a sentence each.

        Raises:
            SettingsError: if the environment cannot be used.
        """
        return ()

    def set_session(
        self,
        *,
        timeout_s: float | None,
        heartbeat_s: float | None,
        group_instance_id: str | None = None,
    ) -> None:
        """Let a group wait so long for a silent worker, and know it by this name.

        None is what is configured.
        """

    def is_on_thread(self) -> bool:
        """Whether the caller runs on the event loop of the synchronous calls."""
        return self._thread is not None and self._thread.is_current()

    def close(self) -> None:
        """Close the session and its event loop; the log keeps what it holds."""
        with _opening:
            thread, session = self._thread, self._session
            self._thread = self._session = None
        if thread is not None:
            if session is not None:
                thread.call(session.close())
            thread.close()

    def close_soon(self) -> None:
        """As `close`, but it does not wait: nobody uses it any more."""
        thread, session = self._thread, self._session
        self._thread = self._session = None
        if thread is None:
            return
        if session is not None:
            thread.close_behind(session.close())
        else:
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
