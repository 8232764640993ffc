"""Code without annotations, and without strictness, is accepted as it always was."""

# pyright: basic
# mypy: allow-untyped-defs, allow-untyped-calls

from sayiir_es import Flow, LoopResult, task


@task(retries=2)
def reserve(order):
    return {**order, "reserved": True}


async def charge(order, *, workflow_input, db=None):
    return {**order, "of": workflow_input, "db": db}


def again(order):
    return LoopResult.done(order)


def size(order):
    return len(order)


flow = Flow("orders")
flow.then(reserve)
flow = flow.then(charge)
for _ in range(2):
    flow = flow.then(lambda order: order["id"]).delay("nap", 1)
flow = flow.fork().branch(reserve).branch(reserve, charge, name="b").join(reserve)
flow = flow.route(size, keys=["a"]).branch("a", reserve).default_branch(charge).done()
flow = flow.loop(again).loop(Flow().then(reserve).then(again), max_iterations=3)
flow = flow.wait_for_signal("ok").then_flow(Flow("child").then(reserve).build())
workflow = flow.build()
