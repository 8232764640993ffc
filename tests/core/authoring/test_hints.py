"""Annotations are read one by one, of whatever can be called."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, TypeVar, cast

import pytest
from pydantic import BaseModel, Field

from sayiir_es import Flow
from sayiir_es.core.authoring.hints import PLAIN, TaskHints, is_plain, task_hints
from sayiir_es.core.authoring.takers import Taker, takers_of
from sayiir_es.core.authoring.tasks import task

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForCheckers

T = TypeVar("T")
UserId = NewType("UserId", int)
Due = NewType("Due", date)


class Order(BaseModel):
    """A model."""

    item: str


def ship(order: Order, *, hidden: OnlyForCheckers, due: date, note: str) -> str:
    return f"{order}{hidden}{due}{note}"


async def ship_later(order: Order) -> None:
    del order


class Shipping:
    """What tasks may be, beside functions."""

    def __call__(self, order: Order, *, due: date | None = None) -> None:
        """Called as a task."""

    def method(self, order: Order) -> None:
        """A bound one is a task."""

    @staticmethod
    def static(order: Order) -> None:
        """No method."""

    @classmethod
    def of_class(cls, order: Order) -> None:
        """Bound to the class."""


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        return function(*given, **named)

    return call


def local() -> Callable[..., object]:
    class Local(BaseModel):
        """A model that only this function knows."""

        n: int

    def read(value: Local) -> Local:
        return Local(n=value.n)

    return read


NAMED = {"hidden": PLAIN, "due": date, "note": PLAIN}


CALLABLES: list[tuple[Callable[..., object], object]] = [
    (ship_later, Order),
    (Shipping(), Order),
    (Shipping().method, Order),
    (Shipping.static, Order),
    (Shipping.of_class, Order),
    (logged(ship_later), Order),
    (logged(logged(Shipping().method)), Order),
    (functools.partial(ship, note="n"), Order),
    (functools.partial(logged(ship), note="n"), Order),
    (functools.partial(Shipping().method), Order),
    (task("named")(ship), Order),
    (Order, PLAIN),
    (print, PLAIN),
    (len, PLAIN),
    (operator.itemgetter(0), PLAIN),
]


@pytest.mark.parametrize(("function", "first"), CALLABLES)
def test_the_first_parameter_of_whatever_can_be_called(
    function: Callable[..., object], first: object
) -> None:
    assert task_hints(function).first is first


def test_an_unreadable_annotation_is_named_and_the_others_count() -> None:
    hints = task_hints(ship)
    expected = TaskHints(positional=(Order,), named=NAMED, unreadable=("hidden",))
    assert hints == expected
    assert task_hints(functools.partial(ship, note="n")).named == NAMED
    assert task_hints(Shipping()).named == {"due": date | None}


def test_a_class_that_the_task_uses_is_found_where_it_was_made() -> None:
    hint = task_hints(local()).first
    assert hint.__name__ == "Local"
    marked: Any = task(local())
    assert marked._input_type.__name__ == marked._output_type.__name__ == "Local"


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (Any, True),
        (object, True),
        (None, True),
        (str | int | None, True),
        (list[dict[str, float]], True),
        (Sequence[str], True),
        (Mapping[str, Any], True),
        (Iterable[Any], True),
        (dict[T, Any], True),  # type: ignore[valid-type]
        (Literal["a", 1], True),
        (UserId, True),
        (Annotated[int, "a remark"], True),
        (Due, False),
        (Annotated[int, Field(gt=0)], False),
        (dict[int, str], False),
        (list[date], False),
        (date | None, False),
        (tuple, False),
        (set, False),
        (bytes, False),
        (Order, False),
        (dict[str, Order], False),
    ],
)
def test_what_says_no_more_than_json_is_plain(hint: Any, expected: bool) -> None:  # noqa: FBT001
    assert is_plain(hint) is expected


# --- who takes a result ---------------------------------------------------------------


def give(value: object) -> Any:
    return value


def take(order: Order) -> Order:
    return order


def take_date(due: date) -> date:
    return due


def key(order: Order) -> str:
    return order.item


def joined(results: dict[str, Order]) -> int:
    return len(results)


TAKE, TAKE_DATE = (
    Taker(task_id="take", hint=Order),
    Taker(task_id="take_date", hint=date),
)
KEY = Taker(task_id="branch_0", hint=Order)


FLOWS: list[tuple[Flow, str, set[Taker]]] = [
    (Flow("w").then(give).then(take), "give", {TAKE}),
    (Flow("w").then(give).delay("d", 1).then(take), "give", {TAKE}),
    (Flow("w").then(give).delay("d", 1), "give", set()),
    (Flow("w").then(give).then(give, name="b").then(take), "give", set()),
    (Flow("w").then(give).wait_for_signal("s").then(take), "give", set()),
    (
        Flow("w").then(give).fork().branch(take).branch(take_date).join(joined),
        "give",
        {TAKE, TAKE_DATE},
    ),
    (
        Flow("w").then(take).fork().branch(give).join(joined),
        "give/give/give",
        set(),
    ),
    (
        Flow("w").then(give).route(key, keys=["a"]).branch("a", take_date).done(),
        "give",
        {KEY},
    ),
    (Flow("w").then(give).loop(cast("Any", take), max_iterations=2), "give", {TAKE}),
    (Flow("w").loop(give, max_iterations=2).then(take), "loop_0/give", set()),
    (
        Flow("w").then(give).then_flow(Flow("c").then(take).build()),
        "give",
        {TAKE},
    ),
    (
        Flow("w").then_flow(Flow("c").then(give).build()).then(take_date),
        "child_0/give",
        {TAKE_DATE},
    ),
]


@pytest.mark.parametrize(("flow", "path", "expected"), FLOWS)
def test_who_is_sure_to_take_a_result(
    flow: Flow, path: str, expected: set[Taker]
) -> None:
    workflow = flow.build()
    assert path in workflow.functions, list(workflow.functions)
    assert set(takers_of(workflow.graph, workflow.functions, path)) == expected
