"""A worker that serves until its process is to end, and what is served beside it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

from sayiir_es.cli.failures import FAILED
from sayiir_es.cli.output import print_message
from sayiir_es.cli.serving import first_of, stop_signal, unless_stopped
from sayiir_es.cli.termination import TERMINATION
from sayiir_es.core.model.errors import (
    AccessRefusedError,
    ClockRefusedError,
    StoreError,
    WorkflowError,
)
from sayiir_es.engine.gc_tuning import collect_young, tune_gc

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from sayiir_es.client.backends import Backend
    from sayiir_es.client.worker import RunningWorker
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.engine.definitions.capabilities import Refusal

Beside: TypeAlias = "Callable[[asyncio.Event], Coroutine[object, object, None]]"
"""What runs on the worker's event loop, too: until the event that it is given is set,
which is when the worker has drained. If it ends with an error, the process does."""

_OWN_ERRORS: tuple[type[WorkflowError], ...] = (ClockRefusedError, AccessRefusedError)
"""Of a worker that can serve nothing, beside that of its stores."""

LOOK_S = 0.02
"""How often a worker that starts looks whether it serves."""

PATIENCE_S = 3.0
"""After so long without a partition the worker prints what it waits for."""


async def serve_worker(
    worker: RunningWorker,
    workflows: list[Workflow],
    backend: Backend,
    until_closed: int | None,
    *,
    beside: Sequence[Beside] = (),
) -> int:
    """Serve until SIGTERM or SIGINT; the exit code.

    Args:
        worker: is started here.
        workflows: what it runs.
        backend: its log's.
        until_closed: a pipe; when its other end is closed the worker ends, too.
        beside: what runs from before the start until behind the drain.

    Raises:
        WorkflowError: if the worker can serve nothing of what it is given, if another
            one goes on in its stead, or as what runs beside it.
    """
    stop = stop_signal()
    if until_closed is not None:
        asyncio.get_running_loop().add_reader(until_closed, _end, stop, until_closed)
    drained = asyncio.Event()
    others = [asyncio.create_task(_run(one, drained, stop)) for one in beside]
    refused: dict[int, Refusal] = {}
    is_asked = False
    try:
        await unless_stopped(stop, worker.start(workflows))
        if not stop.is_set():
            refused = await _serve(worker, workflows, backend, stop)
        is_asked = stop.is_set()
    finally:
        TERMINATION.extend(worker.drain_limit_s())
        await worker.stop()
        drained.set()
        if others:
            await asyncio.wait(others)
    for other in others:
        other.result()
    if not is_asked:
        if worker.engine is not None and worker.engine.displacement is not None:
            raise worker.engine.displacement
        raise _error_of_useless(worker.worker_id, refused)
    return FAILED if worker.engine is not None and worker.engine.stopped else 0


def is_serving(worker: RunningWorker) -> bool:
    """Whether a worker decides for a partition."""
    engine = worker.engine
    return engine is not None and any(one.serving for one in engine.owners.values())


async def _run(one: Beside, drained: asyncio.Event, stop: asyncio.Event) -> None:
    try:
        await one(drained)
    finally:
        stop.set()


async def _serve(
    worker: RunningWorker,
    workflows: list[Workflow],
    backend: Backend,
    stop: asyncio.Event,
) -> dict[int, Refusal]:
    """Wait until the worker is to end; what it refuses by then."""
    tune_gc()
    collecting = asyncio.create_task(collect_young())
    assert worker.engine is not None
    names = ", ".join(sorted({one.graph.name for one in workflows}))
    progress = asyncio.create_task(_print_progress(worker, f"{names} on {backend.url}"))
    engine = worker.engine
    await _wait_for_either(stop, engine.refusals.useless, engine.displaced)
    refused = dict(worker.engine.refusals.by_partition)
    progress.cancel()
    collecting.cancel()
    print_message(f"worker {worker.worker_id} drains", "dim")
    return refused


def _end(stop: asyncio.Event, until_closed: int) -> None:
    asyncio.get_running_loop().remove_reader(until_closed)
    stop.set()


async def _wait_for_either(*events: asyncio.Event) -> None:
    """Wait until one of them is set."""
    await first_of(*(asyncio.create_task(event.wait()) for event in events))


def _error_of_useless(worker_id: str, refused: Mapping[int, Refusal]) -> WorkflowError:
    """Why a worker ends that can serve nothing of what it is given."""
    refusal = next(iter(refused.values()))
    error = next(
        (one for one in _OWN_ERRORS if one.code == refusal.code),
        StoreError,
    )
    return error(
        f"expected worker {worker_id!r} to serve one of partitions "
        f"{sorted(refused)}, but {refusal}"
    )


async def _print_progress(worker: RunningWorker, what: str) -> None:
    """Print once that the worker serves, or after a while that it waits."""
    clock = asyncio.get_running_loop().time
    deadline_s = clock() + PATIENCE_S
    while not is_serving(worker):
        if clock() > deadline_s:
            deadline_s = float("inf")
            print_message(
                f"worker {worker.worker_id} waits to be given a partition of {what}",
                "yellow",
            )
        await asyncio.sleep(LOOK_S)
    print_message(f"worker {worker.worker_id} serves {what}", "bold green")
