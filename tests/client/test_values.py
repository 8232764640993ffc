"""Values between tasks, and what stands in the log for them, as users see it."""

from __future__ import annotations

import asyncio
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

import pytest
from cryptography.fernet import Fernet
from pydantic import BaseModel, Field

from sayiir_es import (
    EmbeddedBackend,
    Flow,
    InMemoryBackend,
    LoopResult,
    TaskError,
    Worker,
    WorkflowClient,
    aio,
    resume_workflow,
    run_durable_workflow,
    run_workflow,
    task,
)
from sayiir_es.core.model.errors import DecodeError
from sayiir_es.testing import given
from tests.wire.sample_codecs import Compressing, Encrypting, Pickling
from tests.wire.typed_values import Line, Money, Order, Route, Row

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sayiir_es import PayloadCodec, Workflow

    Run: TypeAlias = Callable[[Workflow, object], Any]


AT = datetime(2026, 1, 2, 3, 4, 5, 6)  # noqa: DTZ001 (without a zone)


def run_durable(workflow: Workflow, value: object) -> object:
    with InMemoryBackend() as backend:
        status = run_durable_workflow(workflow, "i", value, backend)
        assert status.is_completed(), status.error
        return status.output


def run_encrypted(workflow: Workflow, value: object) -> object:
    with InMemoryBackend(codec=Encrypting()) as backend:
        status = run_durable_workflow(workflow, "i", value, backend)
        assert status.is_completed(), status.error
        return status.output


ways = pytest.mark.parametrize("run", [run_durable, run_encrypted, run_workflow])


def due(_order: object) -> date:
    return date(2026, 1, 2)


def later(day: date, *, workflow_input: Row, due: date) -> dict[int, Decimal]:
    assert (day, due) == (date(2026, 1, 2), date(2026, 1, 2))
    assert workflow_input["when"] == date.min
    return {(day - timedelta(days=1)).day: Decimal("1.10")}


async def count(prices: dict[int, Decimal]) -> tuple[Money, bytes]:
    assert prices == {1: Decimal("1.10")}
    return Money(110), b"\xff"


def pay(both: tuple[Money, bytes]) -> Route:
    assert both == (Money(110), b"\xff")
    return Route(stops=("a", "b"))


@ways
def test_typed_values_pass_from_task_to_task(run: Run) -> None:
    def end(route: Route) -> Route:
        assert route == Route(stops=("a", "b"))
        return route

    flow = Flow("w").then(due).then(later).then(count).then(pay).then(end).build()
    output = run(flow, {"when": date.min})
    assert output == {"stops": ["a", "b"], "days": "PT0S"}


@ways
def test_joins_routes_and_loops_hand_on_what_annotations_say(run: Run) -> None:
    def one(day: date) -> Money:
        return Money(day.day)

    async def two(day: date) -> Line:
        return Line(at=AT, price=Decimal(day.year), raw=b"\xff")

    def joined(parts: Parts) -> set[int]:
        line = Line(at=AT, price=Decimal(2026), raw=b"\xff")
        assert parts == {"one": Money(2), "two": line}
        return {parts["one"].cents}

    def key(numbers: set[int]) -> str:
        assert numbers == {2}
        return "a"

    def branch(numbers: set[int]) -> frozenset[int]:
        return frozenset(numbers)

    def loop(value: Chosen) -> LoopResult[object]:
        return LoopResult.done(value)

    fork = Flow("w").then(due).fork().branch(one).branch(two)
    flow = fork.join(joined).route(key, keys=["a"]).branch("a", branch)
    output = run(flow.done().loop(loop, max_iterations=2).build(), None)
    assert output == {"branch": "a", "result": [2]}


class Parts(TypedDict):
    """What a join is given."""

    one: Money
    two: Line


class Chosen(BaseModel):
    """A route's envelope."""

    branch: str
    result: frozenset[int]


# --- the task that returned it fails --------------------------------------------------


def give_odd(_value: object) -> Any:
    return {"item": "tea", "due": "tomorrow"}


def take(order: Order) -> str:
    return order.item


def test_a_result_that_the_next_task_cannot_take_fails_its_own_task() -> None:
    calls: list[object] = []

    @task(retries=3)
    def odd(value: object) -> Any:
        calls.append(value)
        return give_odd(value)

    for flow in (
        Flow("w").then(odd).then(take),
        Flow("w").then(odd).delay("d", 0).then_flow(Flow("c").then(take).build()),
        Flow("w").then(odd).fork().branch(str).branch(take).join(str),
    ):
        workflow = flow.build()
        calls.clear()
        with InMemoryBackend() as backend:
            status = run_durable_workflow(workflow, "i", 1, backend)
            assert status.is_failed()
            assert status.error_type == "encode"
            client = WorkflowClient(backend)
            assert client.get_task_result("i", "odd") is None
        expected = "TypeError: expected a result that the next task 'take' takes as "
        assert (status.error or "").startswith(f"{expected}Order, but ValidationError")
        assert len(calls) == 1, "another attempt would return the same"
        with pytest.raises(TaskError, match="the next task 'take' takes as Order"):
            run_workflow(workflow, 1)
        assert len(calls) == 2


@pytest.mark.parametrize("run", [run_durable, run_workflow])
def test_behind_a_signal_a_join_or_a_plain_annotation_nothing_is_checked(
    run: Run,
) -> None:
    def plain(order: int) -> object:
        return order

    assert run(Flow("w").then(give_odd).then(plain).build(), 1) == give_odd(1)


# --- codecs ---------------------------------------------------------------------------


@task
def secret(_value: object) -> str:
    return "grandmother"


@task
def tell(value: str, *, secret: str, workflow_input: dict[str, str]) -> list[str]:
    return [value, secret, workflow_input["name"]]


def key_of(_value: object) -> str:
    return "readable"


SECRETS = ("grandmother", "wolf", "basket", "hood")

SEALED = (
    Flow("sealed")
    .then(secret)
    .fork()
    .branch(lambda value: [value], name="left")
    .branch(lambda value: {"value": value}, name="right")
    .join(lambda parts: parts["left"][0] + parts["right"]["value"])
    .route(key_of, keys=["readable"])
    .branch("readable", lambda value: value)
    .done()
    .loop(lambda value: LoopResult.done(value["result"]), max_iterations=2)
    .wait_for_signal("basket")
    .then(tell)
    .build()
)


@pytest.mark.parametrize(
    "codec", [Encrypting(), Encrypting(Compressing())], ids=["once", "twice"]
)
def test_nothing_of_a_sealed_value_stands_in_the_log(
    codec: PayloadCodec, tmp_path: Path
) -> None:
    with EmbeddedBackend(tmp_path / "log.db", codec=codec) as backend:
        client = WorkflowClient(backend)
        with Worker("w", backend).start([SEALED]):
            client.submit(SEALED, "i", {"name": "wolf"})
            client.send_signal("i", "basket", "basket of wine")
            status = client.wait("i", timeout=20)
            assert status.is_completed(), status.error
            expected = ["basket of wine", "grandmother", "wolf"]
            assert status.output == expected
            assert client.get_task_result("i", "secret") == "grandmother"
            assert client.list(workflow="sealed")[0].output == expected
    data = b"".join(
        path.read_bytes() for path in tmp_path.glob("**/*") if path.is_file()
    )
    assert b"application/vnd.example.encrypted" in data
    assert not [word for word in SECRETS[:3] if f"{word} of".encode() in data]
    assert b"grandmother" not in data
    assert b"wolf" not in data


def test_another_client_reads_by_the_codec_and_by_several(tmp_path: Path) -> None:
    flow = Flow("w").then(secret).build()
    path = tmp_path / "log.db"
    with EmbeddedBackend(path, codec=Compressing()) as backend:
        run_durable_workflow(flow, "old", "hood", backend)
    with EmbeddedBackend(path, codec=[Encrypting(), Compressing()]) as backend:
        run_durable_workflow(flow, "new", "hood", backend)
        client = WorkflowClient(backend)
        for name in ("old", "new"):
            assert client.status(name).output == "grandmother"
    with EmbeddedBackend(path) as backend:
        client = WorkflowClient(backend)
        with pytest.raises(DecodeError, match=r"vnd\.example\.encrypted"):
            client.status("new")


def test_a_retry_and_signals_to_many_carry_what_the_codec_writes() -> None:
    class WrongError(Exception):
        """Until the input is right."""

    def check(value: Order) -> str:
        if value.item != "right":
            raise WrongError(value.item)
        return value.item

    flow = Flow("w").then(check).wait_for_signal("s").build()
    wrong, right = (Order(itemName=name, due=date.min) for name in ("wrong", "right"))
    with InMemoryBackend(codec=Encrypting()) as backend:
        assert run_durable_workflow(flow, "i", wrong, backend).is_failed()
        client = WorkflowClient(backend)
        with Worker("w", backend).start([flow]):
            client.retry("i", input=right)
            client.signal_where("s", {"day": date.min}, workflow="w")
            status = client.wait("i", timeout=20)
        assert status.output == {"day": "0001-01-01"}


def test_the_async_client_has_the_same_codec() -> None:
    async def run() -> object:
        with InMemoryBackend(codec=Pickling()) as backend:
            flow = Flow("w").then(secret).build()
            with Worker("w", backend).start([flow]):
                client = aio.WorkflowClient(backend)
                await client.submit(flow, "i", {1, 2})
                status = await client.wait("i", timeout=20)
                return status.output

    assert asyncio.run(run()) == "grandmother"


def test_a_codec_that_cannot_read_fails_the_attempt(tmp_path: Path) -> None:
    flow = Flow("w").wait_for_signal("s").then(str).build()
    path = tmp_path / "log.db"
    with EmbeddedBackend(path, codec=Encrypting()) as backend:
        run_durable_workflow(flow, "i", 1, backend)
        WorkflowClient(backend).send_signal("i", "s", "grandmother")
    other = Encrypting(key=Fernet.generate_key())
    with EmbeddedBackend(path, codec=other) as backend:
        status = resume_workflow(flow, "i", backend)
        assert status.is_failed()
        assert status.error_type == "InvalidToken"
    with EmbeddedBackend(path) as backend:
        WorkflowClient(backend).retry("i")
        status = resume_workflow(flow, "i", backend)
        assert status.error_type == "decode"


# --- the kit --------------------------------------------------------------------------


@pytest.mark.parametrize("codec", [None, Encrypting(), Pickling()])
def test_the_kit_takes_models_and_a_codec_and_survives_crashes(
    codec: PayloadCodec | None,
) -> None:
    def ship(order: Order) -> Order:
        return order

    def approve(order: Order) -> tuple[Order, int]:
        return order, 1

    flow = Flow("w").then(ship).wait_for_signal("ok").then(approve).build()
    order = Order(itemName="tea", due=date.min)
    scenario = given(flow, order, codec=codec).signal("ok", order)
    output: Any = scenario.result.output
    if isinstance(codec, Pickling):
        assert output == (order, 1)
    else:
        assert output == [
            {"item": "tea", "due": "0001-01-01", "sizes": [], "key": None},
            1,
        ]
    assert scenario.survives_crashes() > 5


class Constrained(BaseModel):
    """Of a size."""

    amount: int = Field(gt=0)


def test_an_input_that_does_not_fit_fails_the_first_task() -> None:
    def start(value: Constrained) -> int:
        return value.amount

    with InMemoryBackend() as backend:
        flow = Flow("w").then(task(retries=2)(start)).build()
        status = run_durable_workflow(flow, "i", {"amount": 0}, backend)
        assert status.error_type == "ValidationError"
