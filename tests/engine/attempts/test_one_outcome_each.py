"""Each attempt answers once, and gives its slot back, whatever it does or is told."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from sayiir_es.core.model.errors import DecodeError
from tests.engine.attempts.executor_harness import LIMIT_S, ExecutorHarness
from tests.engine.attempts.test_task_threads import join_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.engine.attempts.attempt import Attempt

Kind: TypeAlias = Literal["sync", "async", "lazy"]
Order: TypeAlias = Literal[
    "nothing", "cancel", "abandon", "abandon quietly", "withdraw", "cancel, abandon"
]
ORDERS: tuple[Order, ...] = get_args(Order)
SLOTS = 3


class OddDict(dict[str, object]):
    """Its items cannot be had."""

    def items(self) -> object:  # type: ignore[override] # (that is its point)
        """Have none."""
        raise RuntimeError("no items")


def holds_itself() -> object:
    found = list[object]()
    found.append(found)
    return found


ENDS: dict[str, Callable[[], object]] = {
    "a value": lambda: 1,
    "too much": lambda: "x" * 2000,
    "a lock": threading.Lock,
    "a list in itself": holds_itself,
    "a broken dict": lambda: OddDict(a=1),
}


class OddError(Exception):
    """It ends whoever asks what it says."""

    def __str__(self) -> str:
        raise SystemExit(4)


ERRORS = (
    *(ValueError, OddError, DecodeError, MemoryError, RecursionError, StopIteration),
    *(asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit),
)

scripts = st.lists(
    st.tuples(
        st.sampled_from(["sync", "async", "lazy"]),
        st.sampled_from([*ENDS, *ERRORS]),
        st.sampled_from(ORDERS),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


def task_of(kind: Kind, end: object, gate: threading.Event) -> Callable[..., object]:
    """A task that ends so, once the gate is open."""

    def ends() -> object:
        if isinstance(end, str):
            return ENDS[end]()
        assert isinstance(end, type)
        assert issubclass(end, BaseException)
        raise end

    async def asynchronous(_: object) -> object:
        while not gate.is_set():  # noqa: ASYNC110 (a threading one)
            await asyncio.sleep(0)
        return ends()

    def synchronous(_: object) -> object:
        gate.wait(LIMIT_S)
        return ends()

    def lazy(given: object) -> object:
        return asynchronous(given)

    return {"sync": synchronous, "async": asynchronous, "lazy": lazy}[kind]


def give_order(harness: ExecutorHarness, attempt: Attempt, order: Order) -> bool:
    """Tell the executor; whether an answer may be missing from now on."""
    if order == "withdraw":
        return harness.executor.withdraw(attempt)
    runs = attempt in harness.executor.running()
    if order.startswith("cancel"):
        harness.executor.request_cancel(attempt, 0.0)
    if "abandon" in order:
        harness.executor.abandon(attempt, report=order != "abandon quietly")
        return runs
    return False


async def run_script(script: list[tuple[Kind, object, Order, bool]]) -> None:
    harness = ExecutorHarness(slots=SLOTS)
    gate = threading.Event()
    attempts = [
        harness.start(task_of(kind, end, gate), b"1" if decodes else b"{nope")
        for kind, end, _, decodes in script
    ]
    for _ in range(3):
        await asyncio.sleep(0)
    excused = {
        attempt.instance_id
        for attempt, (_, _, order, _) in zip(attempts, script, strict=True)
        if give_order(harness, attempt, order)
    }
    gate.set()
    for attempt in attempts:
        if attempt.instance_id not in excused:
            await harness.outcome_of(attempt)
    # All slots are free again: as many attempts as there are slots run side by side.
    together = threading.Barrier(SLOTS, timeout=LIMIT_S)

    def meet(_: object) -> bool:
        return together.wait() >= 0

    last = [harness.start(meet) for _ in range(SLOTS)]
    for attempt in last:
        assert (await harness.outcome_of(attempt)).output == b"true"
    assert not harness.executor.running()
    await harness.executor.close()
    await asyncio.to_thread(join_all)
    answered = [name for name, _ in harness.outcomes]
    assert len(answered) == len(set(answered))


@settings(max_examples=150, deadline=None)
@given(scripts)
def test_whatever_happens_each_attempt_answers_once_and_gives_its_slot_back(
    script: list[tuple[Kind, object, Order, bool]],
) -> None:
    asyncio.run(run_script(script))
