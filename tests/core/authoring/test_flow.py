"""Building flows: ids, checks and their texts, functions by path."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sayiir

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.authoring.retries import RetryPolicy
from sayiir_es.core.authoring.tasks import metadata_of, task
from sayiir_es.core.duration import duration_ms, parse_duration
from sayiir_es.core.graph.nodes import DelayNode, SignalNode

if TYPE_CHECKING:
    from collections.abc import Callable


def f(value: Any) -> Any:
    return value


def g(value: Any) -> Any:
    return value


def test_each_function_stands_under_its_path() -> None:
    flow = (
        Flow("w")
        .then(f)
        .fork()
        .branch(f, g)
        .branch(Flow().then(g).delay("d", 1), name="named")
        .join(g)
        .route(f, keys=["k"])
        .branch("k", g)
        .done()
        .loop(f)
    )
    workflow = flow.build()
    assert sorted(workflow.functions) == [
        "branch_0",
        "branch_0/k/g",
        "f",
        "f||g/f/f",
        "f||g/f/g",
        "f||g/named/g",
        "g",
        "loop_0/f",
    ]
    assert all(workflow.graph.place(path) for path in workflow.functions)


def test_a_flow_goes_on_after_it_was_built() -> None:
    flow = Flow("w").then(f)
    first = flow.build()
    second = flow.then(g).build()
    assert len(first.graph.chain) == 1
    assert len(second.graph.chain) == 2


def test_a_signal_takes_its_name_its_time_out_and_what_follows_it() -> None:
    flow = Flow().wait_for_signal("ok", name="wait", timeout="2m", on_timeout="fail")
    (node,) = flow.build().graph.chain
    expected = SignalNode(id="wait", signal="ok", timeout_ms=120_000, on_timeout="fail")
    assert node == expected


def test_a_delay_takes_seconds_text_and_timedelta() -> None:
    flow = Flow().delay("a", 1.5).delay("b", "1h").delay("c", timedelta(days=2))
    lengths = [
        n.duration_ms for n in flow.build().graph.chain if isinstance(n, DelayNode)
    ]
    assert lengths == [1500, 3_600_000, 172_800_000]


def package_cases(package: Any) -> dict[str, Callable[[], object]]:
    """What both packages refuse, by name."""
    flow = package.Flow
    return {
        "empty flow": lambda: flow().build(),
        "fork without branches": lambda: flow().fork().join(f),
        "empty branch": lambda: flow().fork().branch(),
        "no iterations": lambda: flow().loop(f, max_iterations=0).build(),
        "negative delay": lambda: flow().delay("d", -1),
        "endless delay": lambda: flow().delay("d", float("inf")),
        "odd delay": lambda: flow().delay("d", "x"),
        "negative wait": lambda: flow().wait_for_signal("s", timeout=-1),
        "odd on_max": lambda: flow().loop(f, on_max="zz"),
        "undeclared key": lambda: flow().route(f, keys=["a"]).branch("b", g),
        "missing branches": lambda: flow().route(f, keys=["a", "b"]).done(),
        "default only": lambda: (
            flow().route(f, keys=["a"]).default_branch(g).done().build()
        ),
        "empty route branch": lambda: flow().route(f, keys=["a"]).branch("a"),
        "odd duration": lambda: package.parse_duration("5d"),
    }


class Ours:
    """Our names, under the wheel's."""

    Flow = Flow
    parse_duration = staticmethod(parse_duration)


@pytest.mark.parametrize("name", sorted(package_cases(Ours)))
def test_what_sayiir_refuses_is_refused_in_the_same_words(name: str) -> None:
    with pytest.raises(ValueError, match=r".+") as ours:
        package_cases(Ours)[name]()
    with pytest.raises(ValueError, match=r".+") as theirs:
        package_cases(sayiir)[name]()
    assert str(ours.value) == str(theirs.value)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    flow = Flow().route(f, keys=[]).default_branch(f).done().then(f, name="x" * 300)
    with pytest.raises(ValueError, match="Branch must have at least one") as caught:
        flow.build()
    assert "expected a node id of 1 to 256 bytes" in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"priority": 0},
        {"priority": 6},
        {"tags": ["x"] * 21},
        {"tags": [""]},
        {"tags": ["x" * 65]},
        {"timeout": -1.0},
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"expected|must|too (many|long)"):
        task(**options)(f)


@pytest.mark.parametrize(
    "options",
    [
        {"max_retries": -1},
        {"initial_delay_secs": -1.0},
        {"backoff_multiplier": float("nan")},
        {"max_delay_secs": -1.0},
        {"jitter": 1.5},
    ],
)
def test_a_policy_out_of_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        RetryPolicy(**options)


def test_the_decorator_marks_the_function_and_leaves_it_alone() -> None:
    @task("pay", timeout="3s", retries=2, tags=["eu"], priority=1)
    def charge(order: int) -> str:
        return str(order)

    assert charge(5) == "5"
    metadata = metadata_of(charge)
    assert metadata.timeout_secs == 3
    assert metadata.retries == RetryPolicy(max_retries=2)
    node = Flow().then(charge).build().graph.chain[0]
    assert node.id == "pay"


@pytest.mark.parametrize("text", ["30s", "1.5m", " 250MS ", "2h", "0s"])
def test_durations_are_read_as_sayiir_reads_them(text: str) -> None:
    assert parse_duration(text) == sayiir.parse_duration(text)


def test_a_duration_beyond_all_clocks_is_refused() -> None:
    with pytest.raises(ValueError, match="at most"):
        duration_ms(1e15)
