"""Modules that the fleets run, as text: each test writes what it needs."""

from __future__ import annotations

TASK_S = 0.2
"""How long each task of these takes, in seconds."""

_HEAD = f"""
import asyncio
import time

from sayiir_es import Flow, task

TASK_S = {TASK_S}
"""

ALPHA = (
    _HEAD
    + """
@task
async def cut(value: int) -> int:
    await asyncio.sleep(TASK_S)
    return value + 1

@task
def sew(value: int) -> int:
    time.sleep(TASK_S)
    return value + 1

alpha = Flow("alpha").then(cut).then(sew).build()
"""
)

BETA = ALPHA.replace("alpha", "beta").replace("cut", "mix").replace("sew", "bake")


def build(number: int, tasks: tuple[str, ...]) -> str:
    """A build of the workflow `orders`, of these tasks; each says who ran it."""
    lines = [_HEAD, f'flow = Flow("orders", metadata={{"build": "{number}"}})']
    for name in tasks:
        lines += [
            f'@task(name="{name}")',
            f"async def {name}(value: list) -> list:",
            "    await asyncio.sleep(TASK_S)",
            f'    return [*value, "{name}@{number}"]',
            f"flow = flow.then({name})",
        ]
    return "\n".join([*lines, "orders = flow.build()", ""])


REMOTE = (
    _HEAD
    + """
@task(execute="remote")
async def far(value: int) -> int:
    await asyncio.sleep(TASK_S)
    return value + 1

@task
async def near(value: int) -> int:
    await asyncio.sleep(TASK_S)
    return value + 1

both = Flow("both").then(near).then(far).build()
"""
)

NO_OP = """
import os
from pathlib import Path

from sayiir_es import Flow, get_task_context, task

NOTES = Path(os.environ.get("NOTES", "."), str(os.getpid()))

@task(execute="remote")
async def nothing(value: int) -> int:
    with NOTES.open("a", encoding="utf-8") as file:
        file.write(get_task_context().instance_id + "\\n")
    return value

no_op = Flow("no-op").then(nothing).build()
"""

SLOW = """
import asyncio
import os
from pathlib import Path

from sayiir_es import Flow, get_task_context, task

NOTES = Path(__file__).with_name(f"notes-{os.getpid()}")

async def pause(seconds: float) -> float:
    with NOTES.open("a", encoding="utf-8") as file:
        file.write(get_task_context().instance_id + "\\n")
    await asyncio.sleep(seconds)
    return seconds

@task(name="pause", execute="remote")
async def remote(seconds: float) -> float:
    return await pause(seconds)

@task(name="pause")
async def local(seconds: float) -> float:
    return await pause(seconds)

far = Flow("far").then(remote).build()
far_and_on = Flow("far-and-on").then(remote).wait_for_signal("never").build()
near = Flow("near").then(local).build()
"""
