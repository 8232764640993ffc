"""The threads of an embedded log, so that no event loop ever waits for a disk.

One thread commits, one reads; each has its own connection. All batches that queue up
while the disk syncs one commit go into the next one together, so that they share one
sync.

SQLite knows no forks: a child that uses a file which was open at the fork believes that
it has the locks of its parent. So the connections are closed before a fork, between two
calls, and the next call opens another one.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar
from weakref import WeakSet

from sayiir_es.core.model.errors import (
    DamagedLogError,
    LogUnavailableError,
    UncertainAppendError,
)
from sayiir_es.log.call_thread import CallThread
from sayiir_es.log.embedded.commit_turn import CommitTurn
from sayiir_es.log.embedded.file import (
    BUSY_LIMIT_S,
    busy_error,
    connect,
    is_damage,
    is_disk_failure,
    is_lock,
    log_error_of,
)
from sayiir_es.log.embedded.rows import Write, insert
from sayiir_es.log.forked_child import leave_at_fork
from sayiir_es.log.notifier import call_on

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sayiir_es.core.model.errors import WorkflowError
    from sayiir_es.log.port import Topic

P = ParamSpec("P")
T = TypeVar("T")

COMMIT_RECORDS_MAX = 5_000
COMMIT_BYTES_MAX = 4 << 20
"""A commit takes no further batch once it has either, so that its first is not late."""

FORK_LIMIT_S = 2.0
"""So long a fork waits for what SQLite does; a child then cannot use the file."""

Answer = asyncio.Future[int]


class ConnectionThread:
    """A thread with a connection, which makes one call at a time."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self._thread = CallThread(f"sayiir-{name}")
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._calling = threading.Lock()
        """Held during a call, and during a fork."""
        self._is_held = self._is_left = False
        with _adding:
            _threads.add(self)
        leave_at_fork(self)

    async def run(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Call `work` on the thread, with the connection.

        Raises:
            LogError: SQLite refused, or this is closed.
            DamagedLogError: the file is damaged.
        """
        try:
            return await self.call(lambda: work(self._connect(), *args, **kwargs))
        except sqlite3.Error as error:
            raise log_error_of(self.path, error) from error

    async def call(self, call: Callable[[], T]) -> T:
        """Make a call on the thread; one that is cancelled before it began is not made.

        Raises:
            LogUnavailableError: it is closed.
        """
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def make_call() -> None:
            if answer.cancelled():
                return
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 (its caller's)
                call_on(answer.get_loop(), _fail, answer, error)
            else:
                call_on(answer.get_loop(), _resolve, answer, result)

        self._post(make_call)
        return await answer

    def _post(self, call: Callable[[], None]) -> None:
        """Queue a call that raises nothing."""
        if self._closed:
            raise LogUnavailableError(
                f"expected {str(self.path)!r} to be open, but it is closed"
            )
        self._thread.post(lambda: self._make_call(call))

    def _make_call(self, call: Callable[[], None]) -> None:
        with self._calling:
            call()

    async def close(self) -> None:
        """Do what is queued, then close the connection; a second call does nothing."""
        if self._closed:
            return
        closed = self._thread.submit(lambda: self._make_call(self._disconnect))
        self._closed = True
        self._thread.close()
        await asyncio.shield(asyncio.wrap_future(closed))

    # --- forks ------------------------------------------------------------------------

    def hold(self, end_s: float) -> None:
        """Close the connection, and let no call begin until `release`.

        A call that does not end before `end_s`, of the monotonic clock, goes on.
        """
        limit_s = max(end_s - time.monotonic(), 0.0)
        self._is_held = self._calling.acquire(timeout=limit_s)
        if self._is_held:
            self._drop_connection()

    def release(self) -> None:
        """Let calls go on: in the parent."""
        if self._is_held:
            self._is_held = False
            self._calling.release()

    def leave_to_parent(self) -> None:
        """Use nothing of it in a child."""
        self._closed = True
        _threads.discard(self)
        if not self._is_held and not self._is_left:
            _left_open.add(self.path)
        self._is_left = True

    def _connect(self) -> sqlite3.Connection:
        if self.path in _left_open:
            raise LogUnavailableError(
                f"expected to use {str(self.path)!r} in a child of a fork, but the "
                f"parent used it for more than {FORK_LIMIT_S:g} s when it forked: fork "
                "again, or start the child by `spawn`"
            )
        if self._connection is None:
            self._connection = connect(self.path)
        return self._connection

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _disconnect(self) -> None:
        self._drop_connection()


class CommitThread(ConnectionThread):
    """Commits batches in the order in which they were written, several at a time."""

    def __init__(
        self, path: Path, committed: Callable[[set[tuple[Topic, int]]], object]
    ) -> None:
        """Start nothing yet; `committed` is told the partitions of each commit."""
        super().__init__(path, "commits")
        self._committed = committed
        self._turn = CommitTurn(path)
        self._lock = threading.Lock()
        self._queue: deque[tuple[Write, Answer]] = deque()
        self._disk_failure = ""

    async def write(self, write: Write) -> int:
        """Commit a batch and return its first offset.

        Raises:
            LogUnavailableError: other processes kept the file locked, or it is closed;
                nothing was written.
            UncertainAppendError: the disk failed, or is full.
            DamagedLogError: the file is damaged; nothing was written.
        """
        answer: Answer = asyncio.get_running_loop().create_future()
        with self._lock:
            self._queue.append((write, answer))
            first = len(self._queue) == 1
        if first:
            self._submit_commit()
        return await answer

    def _submit_commit(self) -> None:
        try:
            self._post(self._commit)
        except LogUnavailableError:
            with self._lock:
                self._queue.clear()
            raise

    def _commit(self) -> None:
        entries = self._take()
        if not entries:
            return  # they failed with the batches before them
        answers = [answer for _, answer in entries]
        # Whatever ends the commit, no caller waits for ever.
        results: list[int | WorkflowError] = [_broken_off_error() for _ in entries]
        try:
            results = self._commit_batches([write for write, _ in entries])
            failure = results[0]
            if not isinstance(failure, int):
                dropped_answers = self._drop_queued()
                answers += dropped_answers
                results += [failure for _ in dropped_answers]
        finally:
            _resolve_all(answers, results)
        self._committed({(write.to.topic, write.to.partition) for write, _ in entries})

    def _take(self) -> list[tuple[Write, Answer]]:
        entries: list[tuple[Write, Answer]] = []
        records = size = 0
        with self._lock:
            while (
                self._queue and records < COMMIT_RECORDS_MAX and size < COMMIT_BYTES_MAX
            ):
                write, answer = self._queue.popleft()
                entries.append((write, answer))
                records += len(write.batch)
                size += write.size
            more = bool(self._queue)
        if more:
            self._submit_commit()
        return entries

    def _drop_queued(self) -> list[Answer]:
        """Empty the queue: nothing may land after a batch that did not land."""
        with self._lock:
            answers = [answer for _, answer in self._queue]
            self._queue.clear()
        return answers

    def _commit_batches(self, writes: Sequence[Write]) -> list[int | WorkflowError]:
        if self._disk_failure:
            return [self._uncertain_error(self._disk_failure) for _ in writes]
        try:
            return self._insert(writes)
        except DamagedLogError as error:
            return [error for _ in writes]
        except sqlite3.Error as error:
            if is_lock(error) or is_damage(error):
                return [log_error_of(self.path, error) for _ in writes]
            if is_disk_failure(error):
                # A sync that failed once may succeed the next time without having
                # written anything: only a new process, which reads the disk, knows.
                self._disk_failure = f"{error}; start anew when the disk is well"
            return [self._uncertain_error(str(error)) for _ in writes]

    def _insert(self, writes: Sequence[Write]) -> list[int | WorkflowError]:
        if not self._turn.take(BUSY_LIMIT_S):
            return [busy_error(self.path) for _ in writes]
        try:
            return [*insert(self._connect(), writes)]
        finally:
            self._turn.give_back()

    def _disconnect(self) -> None:
        super()._disconnect()
        self._turn.close()

    def _uncertain_error(self, reason: str) -> UncertainAppendError:
        return UncertainAppendError(
            f"expected to commit to {str(self.path)!r}, but {reason}"
        )


_threads: WeakSet[ConnectionThread] = WeakSet()
_adding = threading.Lock()
"""Held while one is added, and during a fork: so none is missed, and one fork, on
whatever thread, is over before the next one holds them."""
_left_open: set[Path] = set()
"""In a child: the files that were in use at the fork."""


def _hold_all() -> None:
    _adding.acquire()
    end_s = time.monotonic() + FORK_LIMIT_S
    for thread in tuple(_threads):
        thread.hold(end_s)


def _release_all() -> None:
    for thread in tuple(_threads):
        thread.release()
    _adding.release()


def _begin_anew() -> None:
    global _adding  # noqa: PLW0603 (the parent's is held)
    _adding = threading.Lock()


os.register_at_fork(
    before=_hold_all, after_in_parent=_release_all, after_in_child=_begin_anew
)


def _broken_off_error() -> UncertainAppendError:
    return UncertainAppendError("expected a commit to end, but it broke off")


def _resolve_all(
    answers: Sequence[Answer], results: Sequence[int | WorkflowError]
) -> None:
    """Resolve each answer on its own loop, with one call for each loop."""
    by_loop: dict[
        asyncio.AbstractEventLoop, list[tuple[Answer, int | WorkflowError]]
    ] = {}
    for answer, result in zip(answers, results, strict=True):
        by_loop.setdefault(answer.get_loop(), []).append((answer, result))
    for loop, pairs in by_loop.items():
        call_on(loop, _resolve_pairs, pairs)


def _resolve_pairs(pairs: Sequence[tuple[Answer, int | WorkflowError]]) -> None:
    for answer, result in pairs:
        if isinstance(result, int):
            _resolve(answer, result)
        else:
            _fail(answer, result)


def _resolve(answer: asyncio.Future[T], result: T) -> None:
    if not answer.done():  # else its caller has gone
        answer.set_result(result)


def _fail(answer: asyncio.Future[T], error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)
