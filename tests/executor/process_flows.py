"""Workflows whose tasks run in processes of executors, and do what no task should."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sayiir_es import Flow, LoopResult, get_task_context, task

if TYPE_CHECKING:
    from collections.abc import Callable

LONG_S = 60.0
MIB = 1024 * 1024
in_executor = task(execute="remote", executor="process")


def _tell_process(file: str) -> None:
    """In one step: who waits for the file reads it whole."""
    draft = Path(f"{file}.draft")
    draft.write_text(str(os.getpid()))
    draft.rename(file)


@in_executor
def process_of(value: Any, *, context: Any) -> list[Any]:
    assert context is get_task_context()
    return [value, os.getpid(), context.idempotency_key, context.attempt]


@in_executor
async def waits(file: str) -> str:
    """Innocent: ends when it may."""
    _tell_process(file)
    while not Path(f"{file}.go").exists():  # noqa: ASYNC110, ASYNC240 (another process)
        await asyncio.sleep(0.01)
    return "innocent"


@task(executor="process")
async def waits_anywhere(file: str) -> str:
    """The same, in a process of whatever worker has one."""
    return await waits(file)


@in_executor
def dies(way: str) -> None:
    match way:
        case "abort":
            os.abort()
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "crash":
            ctypes.string_at(0)
        case "close":
            os.closerange(3, 1000)
        case _:
            for link in Path("/proc/self/fd").iterdir():
                if int(link.name) > 2:
                    with contextlib.suppress(OSError):
                        os.write(int(link.name), b"\xff" * 100)
            time.sleep(LONG_S)


@task(execute="remote", executor="process", memory=400 * MIB)
def eats_memory(_: object) -> None:
    eaten: list[bytearray] = []
    while True:
        eaten.append(bytearray(os.urandom(1) * MIB))


@task(execute="remote", executor="process", timeout="1s")
def never_returns(file: str) -> None:
    """With a program that it has begun."""
    child = subprocess.Popen(  # noqa: S603 (this interpreter)
        [sys.executable, "-c", f"import time; time.sleep({LONG_S})"]
    )
    _tell_process(f"{file}.parent")
    Path(file).write_text(f"{os.getpid()} {child.pid}")
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(LONG_S)


@task(execute="remote", executor="process", heartbeat_timeout="2s")
def beats(times: int) -> int:
    for number in range(times):
        get_task_context().heartbeat({"done": number})
        time.sleep(0.1)
    if not times:
        time.sleep(LONG_S)
    return times


@in_executor
def looks_for_cancel(file: str) -> str:
    _tell_process(file)
    while not get_task_context().cancelled:
        time.sleep(0.01)
    Path(f"{file}.told").touch()
    return "cancelled"


@in_executor
def swallows_cancel(file: str) -> None:
    _tell_process(file)
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(LONG_S)


@in_executor
def doubles(value: int) -> LoopResult[int]:
    doubled = value * 2
    return LoopResult.done(doubled) if doubled > 20 else LoopResult.again(doubled)


@in_executor
def adds(value: int, *, workflow_input: int) -> int:
    return value + workflow_input


@in_executor
def triples(value: int) -> int:
    return value * 3


def always(_: int) -> str:
    return "x"


@task(execute="remote")
async def on_loop(value: int) -> int:
    await asyncio.sleep(0)
    return value + os.getpid()


@in_executor
def made(value: int, *, base: int) -> int:
    return value + base


def makes() -> dict[str, object]:
    return {"base": 100}


def _of(function: Callable[..., Any]) -> Any:
    return Flow(function.__name__).then(function).build()


telling, waiting, dying = _of(process_of), _of(waits), _of(dies)
waiting_anywhere = _of(waits_anywhere)
eating, endless, beating = _of(eats_memory), _of(never_returns), _of(beats)
listening, swallowing, plain = _of(looks_for_cancel), _of(swallows_cancel), _of(on_loop)
adding = Flow[int, int]("adding").loop(doubles, max_iterations=9).then(adds).build()


def moving(*, has_moved: bool) -> Any:
    """Two builds of one workflow, of which one has its task in a branch."""
    flow: Any = Flow("moving")
    if not has_moved:
        return flow.then(triples).build()
    return flow.route(always, keys=["x"]).branch("x", triples).done().build()


def making() -> Any:
    """Its task names a resource."""
    return _of(made)


FLOWS: list[Any] = [
    *(telling, waiting, dying, eating, endless, beating, listening, swallowing),
    *(plain, adding),
]
