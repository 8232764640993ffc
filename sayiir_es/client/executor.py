"""`Executor`: a thread that runs attempts of partitions that others own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypedDict, Unpack

from sayiir_es.client.backends import Backend, as_backend
from sayiir_es.client.loop_thread import LoopThread
from sayiir_es.client.running_executor import ExecutorSettings, RunningExecutor
from sayiir_es.client.worker_resources import WorkerResources
from sayiir_es.core.duration import duration_ms
from sayiir_es.core.memory_size import parse_memory_size
from sayiir_es.engine.worker_settings import configured_drain_s

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import timedelta
    from types import TracebackType

    from sayiir_es.client.worker_resources import OnShutdown, OnStartup
    from sayiir_es.core.authoring.workflow import Workflow

DEFAULT_SLOTS = 64


class ExecutorOptions(TypedDict, total=False):
    """The options of an executor; see `Executor`."""

    max_concurrent_tasks: int
    prefetch: int | None
    tags: Collection[str] | None
    drain: float | str | timedelta | None
    processes: int | None
    process_memory: int | str | None
    on_startup: OnStartup | None
    on_shutdown: OnShutdown | None


def running_executor(
    executor_id: str, backend: Backend | str, **options: Unpack[ExecutorOptions]
) -> RunningExecutor:
    """An executor with these options, to be started on an event loop.

    Raises:
        ValueError: if an option is out of its range.
    """
    slots = options.get("max_concurrent_tasks", DEFAULT_SLOTS)
    if slots < 1:
        raise ValueError(f"expected max_concurrent_tasks of at least 1, but {slots}")
    prefetch = options.get("prefetch")
    if prefetch is not None and prefetch < 0:
        raise ValueError(f"expected prefetch of at least 0, but {prefetch}")
    if not executor_id:
        raise ValueError("expected an executor_id, but it is empty")
    processes, memory = options.get("processes"), options.get("process_memory")
    if processes is not None and processes < 1:
        raise ValueError(f"expected processes of at least 1, but {processes}")
    drain = options.get("drain")
    return RunningExecutor(
        as_backend(backend),
        ExecutorSettings(
            executor_id=executor_id,
            slots=slots,
            prefetch=prefetch,
            tags=options.get("tags"),
            drain_s=configured_drain_s() if drain is None else duration_ms(drain) / 1e3,
            processes=processes,
            process_memory=(
                None
                if memory is None
                else parse_memory_size(memory, what="process_memory")
            ),
        ),
        WorkerResources(options.get("on_startup"), options.get("on_shutdown")),
    )


class ExecutorHandle:
    """A started executor; a context manager, at whose end it drains."""

    def __init__(self, thread: LoopThread, executor: RunningExecutor) -> None:
        self._thread = thread
        self._executor = executor
        self._is_stopped = False

    @property
    def executor_id(self) -> str:
        """What owners and events call it."""
        return self._executor.executor_id

    def shutdown(self) -> None:
        """Take nothing new, hand back what has not begun, and wait for what runs.

        Raises:
            BackendError: if its end went wrong: the log refused.
        """
        if self._is_stopped or self._thread.is_of_parent:
            return
        self._is_stopped = True
        try:
            self._thread.call(self._executor.stop())
        finally:
            self._thread.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()


class Executor:
    """Runs attempts of workflows that workers elsewhere decide; owns nothing.

    Args:
        executor_id: Its name in events and logs; something is added to it that no
            other process has.
        backend: A backend or its URL.
        max_concurrent_tasks: Attempts that run at a time in this process.
        prefetch: Attempts that may wait here beside them; None: as many.
        tags: Only tasks whose tags are all among these run here; None: all do.
        drain: When it ends, how long it waits for attempts that run; without it
            `SAYIIR_DRAIN`, or 10 s.
        processes: At most so many processes run tasks with `executor="process"`;
            without it `SAYIIR_PROCESSES`, or one for each core.
        process_memory: What each may have whose task says nothing; without it
            `SAYIIR_PROCESS_MEMORY`, or any amount.
        on_startup: As a worker's: gives resources by name; once more in each process.
        on_shutdown: Called with them behind the last task.
    """

    def __init__(
        self,
        executor_id: str,
        backend: Backend | str,
        **options: Unpack[ExecutorOptions],
    ) -> None:
        self._executor = running_executor(executor_id, backend, **options)

    def start(self, workflows: Sequence[Workflow]) -> ExecutorHandle:
        """Start on a thread of its own; returns when it has asked for attempts.

        Raises:
            ValueError: if two different workflows have the same name and version.
            BackendError: if the log does not answer or could lose history.
            ResourceError: if a task names what `on_startup` does not give.
            UsageError: if a process cannot import what its tasks need.
        """
        executor = self._executor
        thread = LoopThread(
            "sayiir-executor", at_exit=lambda: thread.call(executor.end_at_exit())
        )
        try:
            thread.call(executor.start(list(workflows)))
        except BaseException:
            thread.close()
            raise
        return ExecutorHandle(thread, executor)
