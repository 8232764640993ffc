"""Each attempt answers once, and gives its slot back, whatever it does or is told."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from sayiir_es.core.model.errors import DecodeError
from tests.engine.attempts.executor_harness import LIMIT_S, Desk
from tests.engine.attempts.test_task_threads import join_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.engine.attempts.executor_port import Job

Kind: TypeAlias = Literal["sync", "async", "lazy"]
Told: TypeAlias = Literal[
    "nothing", "cancel", "abandon", "abandon quietly", "withdraw", "cancel, abandon"
]
TOLD: tuple[Told, ...] = get_args(Told)
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
        st.sampled_from(TOLD),
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


def tell(desk: Desk, job: Job, told: Told) -> bool:
    """Tell the executor; whether an answer may be missing from now on."""
    if told == "withdraw":
        return desk.executor.withdraw(job)
    runs = job.token in desk.executor.running()
    if told.startswith("cancel"):
        desk.executor.request_cancel(job, 0.0)
    if "abandon" in told:
        desk.executor.abandon(job, deliver=told != "abandon quietly")
        return runs
    return False


async def play(script: list[tuple[Kind, object, Told, bool]]) -> None:
    desk = Desk(slots=SLOTS)
    gate = threading.Event()
    jobs = [
        desk.start(task_of(kind, end, gate), b"1" if decodes else b"{nope")
        for kind, end, _, decodes in script
    ]
    for _ in range(3):
        await asyncio.sleep(0)
    excused = {
        job.instance_id
        for job, (_, _, told, _) in zip(jobs, script, strict=True)
        if tell(desk, job, told)
    }
    gate.set()
    for job in jobs:
        if job.instance_id not in excused:
            await desk.of(job)
    # All slots are free again: as many attempts as there are slots run side by side.
    together = threading.Barrier(SLOTS, timeout=LIMIT_S)

    def meet(_: object) -> bool:
        return together.wait() >= 0

    last = [desk.start(meet) for _ in range(SLOTS)]
    for job in last:
        assert (await desk.of(job)).output == b"true"
    assert desk.executor.running() == {}
    await desk.executor.close()
    await asyncio.to_thread(join_all)
    answered = [name for name, _ in desk.outcomes]
    assert len(answered) == len(set(answered))


@settings(max_examples=150, deadline=None)
@given(scripts)
def test_whatever_happens_each_attempt_answers_once_and_gives_its_slot_back(
    script: list[tuple[Kind, object, Told, bool]],
) -> None:
    asyncio.run(play(script))
