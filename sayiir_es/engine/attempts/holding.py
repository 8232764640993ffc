"""Holds attempts back of an instance that is to be cancelled or paused, or has failed.

What has no slot comes back at once; what runs is told, and what is elsewhere, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.decide.owed import is_stopping
from sayiir_es.core.model.rows import Cursor, Header, Rows, get_cursor, get_header
from sayiir_es.core.model.waits import Awaiting
from sayiir_es.core.nodes import task
from sayiir_es.engine.attempts.attempt import Attempt, State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sayiir_es.engine.attempts.dispatcher import Dispatcher
    from sayiir_es.engine.attempts.executor_port import Executor
    from sayiir_es.engine.attempts.remote.placement import PlacingExecutor
    from sayiir_es.engine.store.port import SnapshotStore


class Holding:
    """Holds attempts of one partition back."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        executor: Executor,
        placing: PlacingExecutor | None,
        *,
        store: SnapshotStore,
        grace_s: float,
    ) -> None:
        """Attempts that run have `grace_s` seconds to end behind a cancel."""
        self._dispatcher = dispatcher
        self._executor = executor
        self._placing = placing
        self._store = store
        self._grace_s = grace_s
        self._held = dispatcher.held

    @property
    def has_held(self) -> bool:
        """Whether more is to be held back; `hold_more` goes on with it."""
        return bool(self._held)

    def hold(
        self, instance_id: str, rows: Rows, now_ms: int, changed: Iterable[str]
    ) -> None:
        """A cancel or pause was requested: what has no slot comes back at once.

        All chains are looked at once, then those that have `changed`. The last comes
        first: while they are decided on, one by one, whoever asks whether anything
        still runs finds the first cursor that does.
        """
        header = get_header(rows)
        if header is None or header.phase != "running":
            self._held.discard(instance_id)
            return
        for chain in self._held.add(instance_id, header, rows, changed):
            self._hold_chain(instance_id, header, rows, chain, now_ms)

    def unhold(self, instance_id: str) -> None:
        """The instance is held back no longer."""
        self._held.discard(instance_id)

    def hold_more(self, now_ms: int) -> None:
        """Hold back another portion of an instance with many branches."""
        instance_id = self._held.waiting()
        if instance_id is None:
            return
        rows = self._store.rows(instance_id)
        header = get_header(rows)
        for chain in self._held.take(instance_id):
            if header is not None and header.phase == "running":
                self._hold_chain(instance_id, header, rows, chain, now_ms)

    def _hold_chain(
        self, instance_id: str, header: Header, rows: Rows, chain: str, now_ms: int
    ) -> None:
        cursor = get_cursor(rows, chain)
        if cursor is None:
            return
        wait = cursor.wait
        if isinstance(wait, Awaiting) and task.is_running(header, wait, now_ms):
            self._hold_attempt(instance_id, header, cursor, wait)

    def _hold_attempt(
        self, instance_id: str, header: Header, cursor: Cursor, wait: Awaiting
    ) -> None:
        token = (instance_id, header.run, cursor.path, wait.attempt)
        attempt = self._dispatcher.find(token)
        if attempt is None:
            attempt = Attempt(
                instance_id=instance_id,
                run=header.run,
                path=cursor.path,
                number=wait.attempt,
                owner=self._dispatcher,
            )
            self._dispatcher.put_withdrawn(attempt)
        elif self._dispatcher.withdraw_queued(attempt):
            self._dispatcher.report_withdrawn(attempt)
        elif attempt.state is not State.RUNNING:
            return
        elif is_stopping(header):
            self._executor.request_cancel(attempt, self._grace_s)
        elif self._placing is not None:
            self._placing.tell_pause(attempt)
