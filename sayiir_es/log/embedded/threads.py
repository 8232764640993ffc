"""The threads of an embedded log, so that no event loop ever waits for a disk.

One thread commits, one reads, one looks for commits of other processes; each has its
own connection. All batches that queue up while the disk syncs one commit go into the
next one together, so that they share one sync.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from sayiir_es.core.model.errors import (
    DamagedLogError,
    LogUnavailableError,
    UncertainAppendError,
)
from sayiir_es.log.batch_size import payload_bytes
from sayiir_es.log.embedded.file import (
    connect,
    is_damage,
    is_disk_failure,
    is_lock,
    log_error_of,
)
from sayiir_es.log.embedded.rows import Write, insert
from sayiir_es.log.notifier import call_on

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sayiir_es.core.model.errors import WorkflowError
    from sayiir_es.log.notifier import Notifier

P = ParamSpec("P")
T = TypeVar("T")

COMMIT_RECORDS_MAX = 5_000
COMMIT_BYTES_MAX = 4 << 20
"""A commit takes no further batch once it has either, so that its first is not late."""

WATCH_S = 0.01
"""How often the file is looked at while somebody waits: a record of another process is
seen after 5 ms on average, for 0.1 % of a core."""

Answer = asyncio.Future[int]


class ConnectionThread:
    """A thread with a connection, which makes one call at a time."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"sayiir-{name}")
        self._connection: sqlite3.Connection | None = None
        self._closed = False

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
        """Make a call on the thread."""
        return await asyncio.wrap_future(self.submit(call))

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Queue a call for the thread.

        Raises:
            LogUnavailableError: it is closed.
        """
        if not self._closed:
            # The pool refuses by itself while the interpreter shuts down.
            with suppress(RuntimeError):
                return self._pool.submit(call)
        raise LogUnavailableError(
            f"expected {str(self.path)!r} to be open, but it is closed"
        )

    async def close(self) -> None:
        """Do what is queued, then close the connection; a second call does nothing."""
        if self._closed:
            return
        closed = self.submit(self._disconnect)
        self._closed = True
        self._pool.shutdown(wait=False)
        await asyncio.shield(asyncio.wrap_future(closed))

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect(self.path)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()


class CommitThread(ConnectionThread):
    """Commits batches in the order in which they were written, several at a time."""

    def __init__(self, path: Path, notifier: Notifier) -> None:
        super().__init__(path, "commits")
        self._notifier = notifier
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
            self.submit(self._commit)
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
        self._notifier.wake(
            {(write.to.topic, write.to.partition) for write, _ in entries}
        )

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
                size += payload_bytes(write.batch)
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
            return [*insert(self._connect(), writes)]
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

    def _uncertain_error(self, reason: str) -> UncertainAppendError:
        return UncertainAppendError(
            f"expected to commit to {str(self.path)!r}, but {reason}"
        )


class WatchThread:
    """Wakes the waiters when any other connection has committed."""

    def __init__(self, path: Path, notifier: Notifier) -> None:
        self._path = path
        self._notifier = notifier
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="sayiir-watch", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop looking; does not wait for it."""
        self._stop.set()

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        last_version = -1
        while not self._stop.wait(WATCH_S):
            if not self._notifier.awaited:
                continue
            # Locked for a moment: the next look will see it.
            with suppress(sqlite3.Error):
                if connection is None:
                    connection = connect(self._path)
                ((version,),) = connection.execute("PRAGMA data_version")
                if version != last_version:
                    last_version = version
                    self._notifier.wake()
        if connection is not None:
            connection.close()


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
        call_on(loop, _resolve, pairs)


def _resolve(pairs: Sequence[tuple[Answer, int | WorkflowError]]) -> None:
    for answer, result in pairs:
        if answer.done():  # its caller has gone
            continue
        if isinstance(result, int):
            answer.set_result(result)
        else:
            answer.set_exception(result)
