"""The definition hash is Sayiir's, hex for hex; the digest covers every option.

The wheel of Sayiir itself is the oracle: the same flow is built in both packages.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import sayiir
from hypothesis import given
from hypothesis import strategies as st

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.authoring.retries import RetryPolicy
from sayiir_es.core.authoring.tasks import task
from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import (
    ChildNode,
    DelayNode,
    LoopNode,
    Node,
    Retry,
    SignalNode,
    TaskNode,
)
from sayiir_es.core.graph.record import canonical_graph, graph_from_json
from sayiir_es.core.model.errors import DecodeError
from tests.core.programs import Program, programs

if TYPE_CHECKING:
    from collections.abc import Callable

Step = tuple[str, dict[str, Any]]


def plain(name: str) -> Callable[[object], object]:
    """A function of that name."""

    def run(value: object) -> object:
        return value

    run.__name__ = name
    return run


ids = st.text("abcé·| ", min_size=1, max_size=6)
durations = st.one_of(
    st.integers(0, 10**6),
    st.floats(0, 10**5, allow_nan=False),
    st.sampled_from(["30s", "1.5m", "250ms", "2h"]),
)
retries = st.one_of(
    st.none(),
    st.integers(0, 9),
    st.tuples(
        st.integers(0, 9),
        st.floats(0, 1000, allow_nan=False),
        st.floats(0.125, 1e6, allow_nan=False),
    ),
)
options = st.fixed_dictionaries(
    {
        "timeout": st.one_of(st.none(), durations),
        "retries": retries,
        "tags": st.lists(st.text("xy", min_size=1, max_size=3), max_size=2),
        "priority": st.one_of(st.none(), st.integers(1, 5)),
    }
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("task"), ids, options),
        st.tuples(st.just("delay"), ids, durations),
        st.tuples(st.just("signal"), ids, st.one_of(st.none(), durations)),
        st.tuples(st.just("fork"), st.lists(ids, min_size=1, max_size=3), ids),
        st.tuples(st.just("route"), st.lists(ids, min_size=1, unique=True), ids),
        st.tuples(st.just("loop"), ids, st.integers(1, 20)),
    ),
    min_size=1,
    max_size=6,
)


def built(package: Any, drawn: list[tuple[str, Any, Any]]) -> Any:
    """The same flow, by either package."""
    flow = package.Flow("w")
    policy = package.RetryPolicy
    for kind, name, more in drawn:
        if kind == "task":
            options = dict(more)
            if isinstance(options["retries"], tuple):
                options["retries"] = policy(*options["retries"])
            flow.then(package.task(name, **options)(plain("f")))
        elif kind == "delay":
            flow.delay(name, more)
        elif kind == "signal":
            flow.wait_for_signal(name, timeout=more)
        elif kind == "fork":
            fork = flow.fork()
            for number, branch in enumerate(name):
                fork.branch(plain(branch), *[plain("deeper")] * number)
            flow = fork.join(plain(more))
        elif kind == "route":
            route = flow.route(plain("key"), keys=name)
            for key in name:
                route.branch(key, plain(more))
            flow = route.default_branch(plain("other")).done()
        else:
            flow.loop(plain(name), max_iterations=more, on_max="exit_with_last")
    return flow.build()


class Ours:
    """Our names, under the wheel's."""

    Flow = Flow
    RetryPolicy = RetryPolicy

    @staticmethod
    def task(name: str, **options: Any) -> Any:
        """As the wheel's `task("id", …)`."""
        return task(name, **options)


@given(steps)
def test_the_definition_hash_is_sayiirs(drawn: list[tuple[str, Any, Any]]) -> None:
    ours, theirs = built(Ours, drawn), built(sayiir, drawn)
    assert ours.definition_hash == theirs.definition_hash
    infos = {(n.id, n.kind, n.timeout_secs, n.priority) for n in ours.iter_nodes()}
    expected = {(n.id, n.kind, n.timeout_secs, n.priority) for n in theirs.iter_nodes()}
    assert {row[:2] for row in infos} == {row[:2] for row in expected}


def test_a_child_is_hashed_with_its_chain() -> None:
    def nested(package: Any) -> Any:
        inner = package.Flow("c").then(plain("a")).delay("d", "3s").build()
        flow = package.Flow("p").then_flow(inner).then(plain("b")).then_flow(inner)
        return flow.build()

    assert nested(Ours).definition_hash == nested(sayiir).definition_hash


@given(programs())
def test_a_graph_comes_back_from_its_canonical_json(program: Program) -> None:
    data = canonical_graph(program.graph)
    again = graph_from_json(data)
    assert again == program.graph
    assert canonical_graph(again) == data
    assert again.digest == program.graph.digest


TASK = TaskNode(id="a", retry=Retry(max_retries=1))
SIGNAL = SignalNode(id="s", signal="s", timeout_ms=5)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TASK, replace(TASK, tags=("gpu",))),
        (TASK, replace(TASK, priority=1)),
        (TASK, replace(TASK, retry=Retry(max_retries=1, max_delay_ms=9))),
        (TASK, replace(TASK, retry=Retry(max_retries=1, jitter=0.5))),
        (SIGNAL, replace(SIGNAL, on_timeout="fail")),
        (SIGNAL, replace(SIGNAL, keep_input=True)),
    ],
)
def test_the_digest_covers_what_the_hash_does_not(one: Node, other: Node) -> None:
    first, second = Graph(name="w", chain=(one,)), Graph(name="w", chain=(other,))
    assert first.definition_hash == second.definition_hash
    assert first.digest != second.digest


def test_the_digest_alone_covers_the_time_out_of_a_run() -> None:
    one = Graph(name="w", chain=(TASK,))
    other = replace(one, timeout_ms=5)
    assert one.definition_hash == other.definition_hash
    assert one.digest != other.digest
    assert graph_from_json(canonical_graph(other)) == other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TASK, replace(TASK, timeout_ms=5)),
        (TASK, replace(TASK, version="2")),
        (DelayNode(id="d", duration_ms=1), DelayNode(id="d", duration_ms=2)),
        (
            LoopNode(id="l", body=(TASK,), max_iterations=2),
            LoopNode(id="l", body=(TASK,), max_iterations=3),
        ),
        (
            ChildNode(id="c", workflow="x", chain=(TASK,)),
            ChildNode(id="c", workflow="x", chain=(SIGNAL,)),
        ),
    ],
)
def test_the_hash_covers_shape_and_time_outs(one: Node, other: Node) -> None:
    first, second = Graph(name="w", chain=(one,)), Graph(name="w", chain=(other,))
    assert first.definition_hash != second.definition_hash


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"format":9,"name":"w","chain":[]}',
        b'{"format":1,"name":"w","metadata":null,"chain":[]}',
        b'{"format":1,"name":"w","metadata":null,"chain":[{"kind":"dance"}]}',
        b'{"format":1,"name":5,"metadata":null,"chain":[{"kind":"delay"}]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_graph_is_a_typed_error(data: bytes) -> None:
    with pytest.raises(DecodeError, match="expected"):
        graph_from_json(data)
