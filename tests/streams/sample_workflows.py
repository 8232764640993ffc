"""Workflows that end or wait in every status, to fill a topic with their events."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from sayiir_es import Flow, LoopResult, RetryPolicy, WorkflowClient, task

if TYPE_CHECKING:
    from sayiir_es.client.backends import Backend

LIMIT_S = 20.0


@task
def double(value: int) -> int:
    """Double the input."""
    return 2 * value


@task
def triple(value: int) -> int:
    """Three times the input."""
    return 3 * value


@task
def refuse(value: int) -> int:
    """Fail, always."""
    raise ValueError(f"expected another value than {value}")


@task(retries=RetryPolicy(max_retries=1, initial_delay_secs=3600))
def flaky(value: int) -> int:
    """Fail, and be tried again in an hour."""
    raise OSError(f"the other side of {value} hung up")


@task
def until_five(value: int) -> LoopResult[int]:
    """Go on until five."""
    return LoopResult.done(value) if value > 4 else LoopResult.again(value + 1)


@task
def parity(value: int) -> str:
    """Choose a branch."""
    return "odd" if value % 2 else "even"


@task
def total(parts: dict[str, int]) -> int:
    """Join a fork."""
    return sum(parts.values())


simple = Flow("simple").then(double).then(double, name="again").build()
failing = Flow("failing").then(double).then(refuse).build()
retrying = Flow("retrying").then(flaky).build()
sleeping = Flow("sleeping").then(double).delay("night", "8h").build()
asking = Flow("asking").wait_for_signal("answer").then(double).build()
waking = Flow("waking").then(double).delay("moment", "50ms").build()
forked = (
    Flow("forked")
    .fork()
    .branch(double)
    .branch(Flow("in").delay("night", "8h"), name="late")
    .branch(Flow("in").wait_for_signal("answer"), name="asked")
    .join(total)
    .build()
)
joined = Flow("joined").fork().branch(double).branch(triple).join(total).build()
looping = Flow("looping").loop(until_five).then(double).build()
routed = (
    Flow("routed")
    .route(parity, keys=["odd"])
    .branch("odd", Flow("in").wait_for_signal("answer"))
    .default_branch(Flow("in").wait_for_signal("answer"))
    .done()
    .build()
)

WORKFLOWS = [
    simple,
    failing,
    retrying,
    sleeping,
    asking,
    waking,
    forked,
    joined,
    looping,
    routed,
]
FINAL_STATUSES = {
    "simple": "completed",
    "failing": "failed",
    "retrying": "in_progress",
    "sleeping": "waiting",
    "asking": "awaiting_signal",
    "waking": "completed",
    "forked": "waiting",
    "joined": "completed",
    "looping": "completed",
    "routed": "awaiting_signal",
}


def run_to_rest(backend: Backend, prefix: str, count: int) -> dict[str, str]:
    """Start `count` instances of each workflow, and pause, cancel or signal some more.

    Returns the status of each instance by its id, when all have reached theirs.
    """
    client = WorkflowClient(backend)
    expected: dict[str, str] = {}
    for number in range(count):
        for workflow in WORKFLOWS:
            instance_id = f"{prefix}-{workflow.workflow_id}-{number}"
            client.submit(workflow, instance_id, number)
            expected[instance_id] = FINAL_STATUSES[workflow.workflow_id]
    for status in ("paused", "cancelled", "completed"):
        instance_id = f"{prefix}-asked-{status}"
        client.submit(asking, instance_id, None)
        expected[instance_id] = status
    client.pause(f"{prefix}-asked-paused")
    client.cancel(f"{prefix}-asked-cancelled")
    client.send_signal(f"{prefix}-asked-completed", "answer", 21)
    client.send_signal(f"{prefix}-nobody", "answer", 1)
    end_s = time.monotonic() + LIMIT_S
    while True:
        statuses = {name: client.status(name).status for name in expected}
        if statuses == expected:
            return expected
        assert time.monotonic() < end_s, statuses
        with contextlib.suppress(TimeoutError):
            name = next(name for name in expected if statuses[name] != expected[name])
            client.wait(name, timeout="100ms")
