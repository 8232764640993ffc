"""Compensations as a user meets them: on a file, under `kill -9`, and without a log."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from sayiir_es import (
    CommandRefusedError,
    EmbeddedBackend,
    Flow,
    TaskError,
    WorkflowClient,
    WorkflowError,
    run_durable_workflow,
    run_workflow,
    task,
)
from sayiir_es.audit import verify

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_S = 60.0

PROGRAM = textwrap.dedent(
    """
    import os, sys, time
    from pathlib import Path
    from sayiir_es import EmbeddedBackend, Flow, task
    from sayiir_es import resume_workflow, run_durable_workflow

    HERE = Path(sys.argv[1])

    def note(text):
        with (HERE / "notes").open("a") as file:
            print(text, file=file, flush=True)

    def undo(number, result):
        note(f"undo {number}")
        if number == int(sys.argv[2]) and not (HERE / "goes-on").exists():
            time.sleep(1000)

    @task(compensate=undo)
    def step(number):
        note(f"do {number}")
        return number + 1

    @task
    def fail(number):
        raise OSError("no paper")

    flow = Flow("trip")
    for number in range(4):
        flow.then(step, name=f"step{number}")
    trip = flow.then(fail).build()

    if __name__ == "__main__":
        backend = EmbeddedBackend(HERE / "app.db")
        if len(sys.argv) == 3:
            status = run_durable_workflow(trip, "trip-1", 0, backend)
        else:
            status = resume_workflow(trip, "trip-1", backend)
        note(f"{status.status} {status.compensated} {status.not_compensated}")
    """
)


def notes_of(path: Path) -> list[str]:
    notes = path / "notes"
    return notes.read_text().splitlines() if notes.exists() else []


@pytest.mark.timeout(150)
@pytest.mark.parametrize("killed_at", [3, 1])
def test_what_was_being_undone_when_its_process_was_killed_is_undone_once(
    tmp_path: Path, killed_at: int
) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(tmp_path), str(killed_at)]
    with subprocess.Popen(command) as first:  # noqa: S603 (our own program)
        end_s = time.monotonic() + LIMIT_S
        while f"undo {killed_at}" not in notes_of(tmp_path):
            assert time.monotonic() < end_s
            assert first.poll() is None
            time.sleep(0.02)
        first.send_signal(signal.SIGKILL)
    (tmp_path / "goes-on").touch()
    again = [*command, "again"]
    subprocess.run(again, check=True, timeout=LIMIT_S)  # noqa: S603 (as above)
    undone = [f"undo {number}" for number in (3, 2, 1, 0)]
    at = undone.index(f"undo {killed_at}")
    assert notes_of(tmp_path) == [
        *(f"do {number}" for number in range(4)),
        *undone[: at + 1],
        *undone[at:],
        "failed ('step3', 'step2', 'step1', 'step0') ()",
    ]
    backend = EmbeddedBackend(tmp_path / "app.db")
    try:
        assert verify(backend).holds
        client = WorkflowClient(backend)
        assert client.status("trip-1").compensated[-1] == "step0"
    finally:
        backend.close()


def failing(undone: list[object]) -> Flow:
    @task(compensate=lambda value, result: undone.append((value, result)))
    def step(value: int) -> int:
        return value + 1

    @task
    def fail(_value: int) -> None:
        raise OSError("no paper")

    return (
        Flow("w")
        .then(step)
        .fork()
        .branch(step, name="a")
        .branch(step, name="b")
        .join(lambda both: both["a"], name="join")
        .then(step, name="last")
        .then(fail)
    )


def test_a_retry_of_what_is_all_undone_is_refused_in_words(tmp_path: Path) -> None:
    undone: list[object] = []
    backend = EmbeddedBackend(tmp_path / "app.db")
    try:
        status = run_durable_workflow(failing(undone).build(), "i", 1, backend)
        assert status.compensated[0] == "last"
        assert status.compensated[-1] == "step"
        client = WorkflowClient(backend)
        with pytest.raises(CommandRefusedError, match="start it anew") as refused:
            client.retry("i")
        assert refused.value.rejection == "compensated"
    finally:
        backend.close()


def test_a_run_without_a_log_undoes_in_reverse_and_raises_what_failed() -> None:
    undone: list[object] = []
    with pytest.raises(TaskError, match="no paper") as raised:
        run_workflow(failing(undone).build(), 1)
    assert undone == [(3, 4), (2, 3), (2, 3), (1, 2)]
    (note,) = raised.value.__notes__
    assert note.startswith("compensated: last, ")
    assert note.endswith(", step")


def test_a_run_without_a_log_says_what_it_could_not_undo() -> None:
    def refuse(_both: object) -> None:
        raise KeyError("gone")

    @task(compensate=refuse)
    def step(value: int) -> int:
        return value

    route = Flow("w").then(step).route(lambda _: "x", keys=["y"])
    with pytest.raises(TaskError) as raised:
        run_workflow(route.branch("y", step).done().build(), 1)
    assert raised.value.__notes__ == ["not compensated: step"]


def test_a_run_without_a_log_gives_what_a_compensation_names() -> None:
    undone: list[object] = []

    async def undo(value: int, result: int, *, workflow_input: int, one: int) -> None:
        undone.append((value, result, workflow_input, one))

    @task
    def one(value: int) -> int:
        return value * 10

    @task(compensate=undo)
    async def two(value: int) -> int:
        return value + 1

    @task
    def fail(_value: int) -> None:
        raise OSError("no paper")

    with pytest.raises(WorkflowError):
        run_workflow(Flow("w").then(one).then(two).then(fail).build(), 3)
    assert undone == [(30, 31, 3, 30)]


class Order(BaseModel):
    """An input."""

    amount: int


class Receipt(BaseModel):
    """A result."""

    paid: int


def test_input_and_result_come_as_the_models_that_their_annotations_name() -> None:
    undone: list[object] = []

    def refund(order: Order, receipt: Receipt) -> None:
        undone.append((order, receipt))

    @task(compensate=refund)
    def pay(order: Order) -> Receipt:
        return Receipt(paid=order.amount)

    @task
    def fail(_value: object) -> None:
        raise OSError("no paper")

    with pytest.raises(TaskError):
        run_workflow(Flow("w").then(pay).then(fail).build(), {"amount": 5})
    assert undone == [(Order(amount=5), Receipt(paid=5))]


def test_a_compensation_names_resources_as_a_task_does(tmp_path: Path) -> None:
    bank: list[object] = []

    def refund(order: int, receipt: int, *, bank: list[object]) -> None:
        bank.append((order, receipt))

    @task(compensate=refund)
    def pay(order: int) -> int:
        return order + 1

    @task
    def fail(_value: object) -> None:
        raise OSError("no paper")

    workflow = Flow("w").then(pay).then(fail).build()
    with pytest.raises(TaskError):
        run_workflow(workflow, 1, resources={"bank": bank})
    backend = EmbeddedBackend(tmp_path / "app.db")
    try:
        run_durable_workflow(workflow, "i", 2, backend, resources={"bank": bank})
    finally:
        backend.close()
    assert bank == [(1, 2), (2, 3)]


def test_input_and_result_come_as_any_type_that_annotations_name(
    tmp_path: Path,
) -> None:
    undone: list[object] = []

    def unbook(day: date, price: Decimal) -> None:
        undone.append((day, price))

    @task(compensate=unbook)
    def book(day: date) -> Decimal:
        return Decimal(day.day) + Decimal("0.1")

    @task
    def fail(_value: object) -> None:
        raise OSError("no paper")

    workflow = Flow("w").then(book).then(fail).build()
    with pytest.raises(TaskError):
        run_workflow(workflow, date(2026, 11, 30))
    backend = EmbeddedBackend(tmp_path / "app.db")
    try:
        run_durable_workflow(workflow, "i", date(2026, 11, 29), backend)
    finally:
        backend.close()
    assert undone == [
        (date(2026, 11, 30), Decimal("30.1")),
        (date(2026, 11, 29), Decimal("29.1")),
    ]
