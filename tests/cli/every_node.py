"""A workflow with a node of every kind, for tests of what shows workflows."""

from __future__ import annotations

from typing import Any

from sayiir_es import Flow, RetryPolicy, task


@task(timeout="90s", retries=RetryPolicy(max_retries=1), priority=2, tags=["gpu"])
def careful(number: int) -> int:
    return number


def plain(number: Any) -> Any:
    return number


def key(number: int) -> str:
    return str(number)


inner = Flow("inner").then(plain, name="packed").build()
everything = (
    Flow("everything", metadata={"team": "seeded_terminal"})
    .then(careful)
    .fork()
    .branch(plain, name="left")
    .branch(plain, name="right")
    .join(plain, name="merge")
    .wait_for_signal("go", name="approval", timeout="48h", on_timeout="fail")
    .delay("rest", "1500ms")
    .route(key, keys=["big"])
    .branch("big", plain, name="large")
    .default_branch(plain, name="small")
    .done()
    .loop(Flow("body").then(plain, name="turn"), max_iterations=3)
    .then_flow(inner)
    .build()
)
