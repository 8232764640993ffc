"""A workflow with everything in it that a person may want to look at."""

from __future__ import annotations

from typing import Any

from sayiir_es import Flow, LoopResult, RetryPolicy, get_task_context, task


@task
def give_back(order: dict[str, Any]) -> None:
    del order


@task(
    retries=RetryPolicy(max_retries=2, initial_delay_secs=2.0),
    timeout="30s",
    compensate=give_back,
)
def charge(order: dict[str, Any]) -> dict[str, Any]:
    context = get_task_context()
    assert context is not None
    if context.attempt < 3:
        raise TimeoutError("the bank is slow")
    return {**order, "charged": True}


@task
def pack(order: dict[str, Any]) -> str:
    return f"parcel for {order['customer']}"


@task
def bill(order: dict[str, Any]) -> str:
    return f"bill over {order['amount']}"


@task
def join_papers(papers: dict[str, str]) -> dict[str, Any]:
    return {"papers": papers, "rounds": 0}


@task
def weigh(state: dict[str, Any]) -> LoopResult[dict[str, Any]]:
    rounds = state["rounds"] + 1
    value = {**state, "rounds": rounds}
    return LoopResult.again(value) if rounds < 3 else LoopResult.done(value)


@task
def label(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "label": "AB-12"}


@task
def notify(state: dict[str, Any]) -> dict[str, Any]:
    assert state
    raise ValueError("no such address")


@task
def note_unreachable(error: dict[str, Any]) -> dict[str, Any]:
    assert error
    return {"unreachable": True}


@task
def hand_over(state: dict[str, Any]) -> None:
    assert state
    raise ConnectionError("the courier's door is shut")


shipping = Flow("shipping").then(label).build()
rich = (
    Flow("rich-orders", version="2")
    .then(charge)
    .fork()
    .branch(pack)
    .branch(bill)
    .join(join_papers)
    .wait_for_signal("approval", timeout="48h", keep_input=True)
    .delay("cool_off", "1h")
    .loop(Flow("scales").then(weigh), max_iterations=5)
    .then_flow(shipping)
    .attempt(Flow("tell").then(notify))
    .on_error(Flow("told").then(note_unreachable))
    .then(hand_over)
    .build()
)
"""Ends in a failure, and what was charged is given back."""
