"""Fleets with other modules, other builds, and restarts of everything, on a real Kafka.

Every instance finishes, and none waits for more than a second beyond its tasks.
"""

from __future__ import annotations

import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.broker import free_ports
from tests.fleets.fleet import BEYOND_TASKS_MS, Load, until
from tests.fleets.modules import ALPHA, BETA, REMOTE, TASK_S, build

if TYPE_CHECKING:
    from tests.fleets.fleet import Fleet

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(300)]

TASKS_MS = round(2 * TASK_S * 1000)
"""How long the two tasks of each instance take."""


def check(fleet: Fleet) -> None:
    """All have finished, in time, and nothing is wrong."""
    reader = fleet.finish()
    assert set(reader.ended.values()) == {"WorkflowCompleted"}
    waits = fleet.waits_ms(reader, TASKS_MS)
    late = {name: wait for name, wait in waits.items() if wait > BEYOND_TASKS_MS}
    print(  # noqa: T201 - the numbers are what is asked for
        f"\n{len(waits)} instances, the longest wait {max(waits.values())} ms"
    )
    assert not late, "\n".join(fleet.story(reader, name) for name in list(late)[:9])
    fleet.check()


def test_two_fleets_with_different_modules_finish_what_either_has(
    fleet: Fleet,
) -> None:
    alpha, beta = fleet.module("alpha", ALPHA), fleet.module("beta", BETA)
    workers = [
        fleet.worker(f"{module}-{number}", module)
        for module in (alpha, beta)
        for number in range(2)
    ]
    fleet.until_served(*workers)
    with Load(fleet, ("alpha", "beta")):
        time.sleep(5)
    check(fleet)


def test_instances_of_an_old_build_go_on_while_new_ones_start(fleet: Fleet) -> None:
    old = fleet.module("old", build(1, ("cut", "sew")))
    new = fleet.module("new", build(2, ("cut", "glue")))
    first = [fleet.worker(f"old-{number}", old) for number in range(2)]
    fleet.until_served(*first)
    with Load(fleet, ("orders",)):
        time.sleep(2)
        second = [fleet.worker(f"new-{number}", new) for number in range(2)]
        fleet.until_served(*first, *second)
        time.sleep(3)
        first[0].terminate()
        time.sleep(3)
    check(fleet)
    last = {last_step(fleet, name) for name in fleet.submitted_ms}
    assert last == {"sew@1", "glue@2"}


def last_step(fleet: Fleet, name: str) -> object:
    """Which task of which build ran last."""
    output: Any = fleet.client.status(name).output
    last: object = output[-1]
    return last


def test_a_rolling_restart_of_everything_strands_nothing(fleet: Fleet) -> None:
    alpha, both = fleet.module("alpha", ALPHA), fleet.module("both", REMOTE)
    workers = [fleet.worker(f"w{number}", alpha, both) for number in range(3)]
    fleet.until_served(*workers)
    executors = [fleet.executor(f"e{number}", both) for number in range(2)]
    until(lambda: all(one.executor_id for one in executors))
    (port,) = free_ports(1)
    serve = fleet.command("serve", "serve", "--port", str(port))
    until(lambda: is_answered(port))
    with Load(fleet, ("alpha", "both")):
        time.sleep(1)
        for worker in workers:
            worker.terminate()
            worker.start()
            fleet.until_served(worker, among=len(workers))
            time.sleep(1)
        for executor in executors:
            executor.terminate()
            executor.start()
            executor.until_logged("message.printed")
            time.sleep(1)
        serve.terminate()
        serve.start()
        until(lambda: is_answered(port))
        time.sleep(1)
    check(fleet)


def is_answered(port: int) -> bool:
    """Whether the pages are served, and an owner answers what they ask."""
    url = f"http://127.0.0.1:{port}/api/v1/instances"
    try:
        with urllib.request.urlopen(url) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
