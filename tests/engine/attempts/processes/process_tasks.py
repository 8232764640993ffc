"""Tasks that run in processes, and do what no task should."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import structlog

from sayiir_es import Flow, task
from sayiir_es.engine.attempts.task_context import get_task_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.authoring.workflow import Workflow

LONG_S = 60.0
MIB = 1024 * 1024
BASE_MEMORY = 400 * MIB
"""More than an interpreter takes with all that it imports here."""

in_process = task(executor="process")


def _tell_process(file: str) -> None:
    Path(file).write_text(str(os.getpid()))


@in_process
def pid_of(_: object) -> int:
    return os.getpid()


@in_process
def double(value: Any) -> Any:
    return value * 2


@in_process
async def double_async(value: Any) -> Any:
    await asyncio.sleep(0)
    return value * 2


@in_process
def kills_itself(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@in_process
def exits(_: object) -> None:
    os._exit(3)


@in_process
def raises_exit(_: object) -> None:
    sys.exit(4)


@in_process
def crashes(_: object) -> None:
    ctypes.string_at(0)


@in_process
def stops_itself(file: str) -> None:
    _tell_process(file)
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(LONG_S)


@in_process
def holds_the_interpreter(file: str) -> None:
    _tell_process(file)
    ctypes.PyDLL(None).sleep(int(LONG_S))


@in_process
def never_returns(file: str) -> None:
    _tell_process(file)
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(LONG_S)


@in_process
async def swallows_cancellation(file: str) -> None:
    _tell_process(file)
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(LONG_S)


@in_process
async def ends_when_cancelled(file: str) -> None:
    _tell_process(file)
    await asyncio.sleep(LONG_S)


@in_process
def looks_for_cancel(file: str) -> str:
    _tell_process(file)
    context = get_task_context()
    while not context.cancelled:
        time.sleep(0.01)
    return "cancelled"


@in_process
def leaves_a_child(file: str) -> None:
    """Never returns, and has begun another program."""
    child = subprocess.Popen(  # noqa: S603 (this interpreter)
        [sys.executable, "-c", f"import time; time.sleep({LONG_S})"]
    )
    Path(file).write_text(str(child.pid))
    time.sleep(LONG_S)


@in_process
def forks_and_returns(file: str) -> int:
    """Both return: only the one that was asked counts."""
    pid = os.fork()
    if pid == 0:
        logging.getLogger("shop").warning("said by a forked child")
        return -1
    _, status = os.waitpid(pid, 0)
    Path(file).write_text(str(status))
    return os.getpid()


@in_process
def leaks_threads(count: int) -> int:
    for _ in range(count):
        threading.Thread(target=time.sleep, args=(LONG_S,), daemon=True).start()
    return os.getpid()


@task(executor="process", memory=BASE_MEMORY)
def eats_memory(_: object) -> None:
    eaten: list[bytearray] = []
    while True:
        eaten.append(bytearray(os.urandom(1) * MIB))


@task(executor="process", memory=BASE_MEMORY)
def modest(_: object) -> int:
    return os.getpid()


@in_process
def prints(text: str) -> str:
    print(text)  # noqa: T201 (what this is about)
    os.write(1, b"raw\n")
    return text


@in_process
def writes_to_the_worker(_: object) -> None:
    """Whatever is open is written to, the connection too."""
    for link in Path("/proc/self/fd").iterdir():
        if int(link.name) > 2:
            with contextlib.suppress(OSError):
                os.write(int(link.name), b"\xff" * 100)
    time.sleep(LONG_S)


@in_process
def closes_everything(_: object) -> None:
    os.closerange(3, 1000)


@in_process
def fails(_: object) -> None:
    try:
        dict[str, int]()["inner"]
    except KeyError as error:
        raise ValueError("no such order") from error


@in_process
def returns_what_json_has_not(_: object) -> object:
    return object()


@in_process
def logs(text: str) -> None:
    structlog.contextvars.bind_contextvars(customer="c-1")
    logger = logging.getLogger("shop.orders")
    logger.warning("%s and more", text, extra={"order": 7, "odd": {1, 2}})
    logger.debug("nobody reads this")
    try:
        int("logged")
    except ValueError:
        logger.exception("it went wrong")


@in_process
def told(_: object, *, context: Any) -> dict[str, object]:
    known = get_task_context()
    assert known is context
    return {
        "instance": known.instance_id,
        "attempt": known.attempt,
        "deadline": known.deadline_at,
        "metadata": known.workflow_metadata,
        "key": known.idempotency_key,
        "workflow": known.workflow_id,
        "run": known.run,
    }


@in_process
def beats(count: int) -> None:
    """Tell so many heartbeats, and one that no JSON can say."""
    context = get_task_context()
    assert context is not None
    for number in range(count):
        context.heartbeat({"done": number})
    around: list[object] = []
    around.append(around)
    context.heartbeat(around)


@in_process
def size_of(text: str) -> int:
    return len(text)


@in_process
def repeats(count: int) -> str:
    return "x" * count


class _Count:
    calls = 0


@in_process
def counts(_: object) -> tuple[int, int]:
    """How often it was called in its process, and in which."""
    _Count.calls += 1
    return _Count.calls, os.getpid()


NAMED: Workflow[Any, Any] = (
    Flow("with-a-lambda")
    .then(task("halve", executor="process")(lambda value: value / 2))
    .build()
)


def local_task() -> Callable[[object], object]:
    """A task that no other process can import."""

    @in_process
    def local(value: object) -> object:
        return value

    return cast("Callable[[object], object]", local)


@in_process
def grows(_: object) -> None:
    """Beyond what the worker allows."""
    eats_memory(None)


_kept: list[bytes] = []


@in_process
def keeps_memory(mebibytes: int) -> int:
    _kept.append(os.urandom(1) * (mebibytes * MIB))
    return os.getpid()


@in_process
def dies_later(_: object) -> int:
    """Returns, and its process ends behind it."""
    threading.Timer(0.1, os._exit, (5,)).start()
    return os.getpid()


def refuses_to_begin() -> dict[str, object]:
    raise OSError("no database")


def _leave_file(name: str) -> None:
    Path(os.environ["PROCESS_TEST_DIR"], f"{name}-{os.getpid()}").touch()


async def begins() -> dict[str, object]:
    """Resources that belong to an event loop."""
    _leave_file("begun")
    return {"pool": ("pool", asyncio.get_running_loop())}


async def ends_resources(resources: dict[str, object]) -> None:
    assert "pool" in resources
    _leave_file("ended")


@in_process
async def uses_pool(_: object, *, pool: tuple[str, object]) -> tuple[str, bool]:
    """The pool was made on the loop where the task runs."""
    return pool[0], pool[1] is asyncio.get_running_loop()


@task("same", executor="process")
def first_of_a_name(_: object) -> str:
    return "first"


@task("same", executor="process")
def second_of_a_name(_: object) -> str:
    return "second"
