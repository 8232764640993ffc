"""Workflows whose tasks run in processes."""

from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path
from typing import Any

from sayiir_es import Flow, JsonCodec, LoopResult, RetryPolicy, task
from tests.wire.sample_codecs import Encrypting

LONG_S = 60.0
QUICK = RetryPolicy(max_retries=2, initial_delay_secs=0.01)
CODEC = Encrypting(JsonCodec())

in_process = task(executor="process")


@in_process
def read(order: dict[str, Any]) -> dict[str, Any]:
    due = dt.date.fromisoformat(order["due"])
    return {"amount": order["amount"], "year": due.year}


@in_process
def kind_of(order: dict[str, Any]) -> str:
    return "small" if order["amount"] < 10 else "large"


@in_process
async def square(order: dict[str, Any]) -> int:
    return int(order["amount"] ** 2)


@in_process
def refuse(_: object) -> None:
    raise ValueError("expected a small order")


@in_process
def count_up(routed: dict[str, Any]) -> LoopResult[Any]:
    total = routed.get("total", routed.get("result"))
    return LoopResult.done({"total": total})


@in_process
def sum_up(
    counted: dict[str, Any], *, read: dict[str, Any], workflow_input: dict[str, Any]
) -> dict[str, Any]:
    assert workflow_input["amount"] == read["amount"]
    return {"total": counted["total"], "first": read}


everything = (
    Flow("everything")
    .then(read)
    .route(kind_of, keys=["small", "large"])
    .branch("small", square)
    .branch("large", refuse)
    .done()
    .loop(count_up, max_iterations=3)
    .then(sum_up)
    .build()
)


@in_process
def unreserve(file: str, reserved: str) -> None:
    Path(file).write_text(reserved)


@task(executor="process", compensate=unreserve)
def reserve(file: str) -> str:
    del file
    return "reserved"


def no_stock(_: object) -> None:
    raise ValueError("no stock")


undone = Flow("undone").then(reserve).then(no_stock).build()


def _tries(file: str) -> int:
    with Path(file).open("a") as lines:
        lines.write("tried\n")
    return len(Path(file).read_text().splitlines())


@task(executor="process", timeout="1s", retries=QUICK)
def slow_once(file: str) -> int:
    tries = _tries(file)
    if tries == 1:
        time.sleep(LONG_S)
    return tries


slow_at_first = Flow("slow-at-first").then(slow_once).build()


@task(executor="process", retries=QUICK)
def dies_once(file: str) -> int:
    tries = _tries(file)
    if tries == 1:
        os.abort()
    return tries


dies_at_first = Flow("dies-at-first").then(dies_once).build()

doubling = (
    Flow("doubling").then(task("double", executor="process")(lambda n: n * 2)).build()
)


def rates() -> dict[str, object]:
    return {"rates": {"CHF": 0.9}}


@in_process
def convert(amount: float, *, rates: dict[str, float]) -> float:
    return amount * rates["CHF"]


converting = Flow("converting").then(convert).build()
