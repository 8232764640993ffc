"""What `Flow` takes of start queues, and what the published graph has of them."""

from __future__ import annotations

from typing import Any

import pytest

from sayiir_es import Flow
from sayiir_es.core.graph.key_templates import UnreadableKeyError
from sayiir_es.core.graph.record import canonical_graph, graph_from_json
from sayiir_es.core.graph.start_queue import StartQueue
from sayiir_es.core.model.errors import DecodeError


def echo(value: object) -> object:
    return value


def queue_of(**options: Any) -> StartQueue | None:
    return Flow("w", **options).then(echo).build().graph.start_queue


def test_a_queue_has_a_length_unless_any_number_waits() -> None:
    assert queue_of() is None
    assert queue_of(max_running=None) is None
    assert queue_of(max_running=3) == StartQueue(max_running=3, length=1_000)
    assert queue_of(max_running=3, queue_length=0) == StartQueue(
        max_running=3, length=0
    )
    assert queue_of(max_running=3, on_full="wait") == StartQueue(max_running=3)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_running": 0}, "expected max_running between 1 and 100000, but 0"),
        ({"queue_length": 3}, "expected max_running with queue_length, but none"),
        ({"on_full": "wait"}, "expected max_running with on_full, but none"),
        (
            {"max_running": 1, "queue_length": -1},
            "expected queue_length between 0 and 100000000, but -1",
        ),
        (
            {"max_running": 1, "on_full": "drop"},
            "expected on_full 'reject' or 'wait', but 'drop'",
        ),
        (
            {"max_running": 1, "queue_key": "{tenant}"},
            (
                "expected queue_key with {workflow}, {workflow_input.FIELD} or "
                "{input.FIELD}, but '{tenant}' has {tenant}"
            ),
        ),
        (
            {"max_running": 1, "queue_key": "{input}"},
            (
                "expected queue_key with {workflow} or {workflow_input.FIELD}, as no "
                "task runs yet, but '{input}'"
            ),
        ),
    ],
)
def test_what_makes_no_queue_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the text is compared)
        queue_of(**options)
    assert str(error.value) == text


def test_an_option_that_there_is_not_is_refused_as_python_does() -> None:
    with pytest.raises(TypeError) as error:
        queue_of(max_runing=1)
    assert str(error.value) == "Flow() got an unexpected keyword argument 'max_runing'"


def test_a_name_leaves_room_for_a_key() -> None:
    Flow("w" * 200, max_running=1)
    with pytest.raises(ValueError, match="a name of at most 200 bytes"):
        Flow("w" * 201, max_running=1)


def test_the_published_graph_has_the_queue_and_the_definition_hash_has_not() -> None:
    plain = Flow("w").then(echo).build().graph
    for flow in (
        Flow("w", max_running=3),
        Flow("w", max_running=3, on_full="wait", queue_key="{workflow_input.a}"),
    ):
        queued = flow.then(echo).build().graph
        assert graph_from_json(canonical_graph(queued)) == queued
        assert queued.definition_hash == plain.definition_hash
        assert queued.digest != plain.digest
    assert b"start_queue" not in canonical_graph(plain)


@pytest.mark.parametrize(
    ("was", "wrong"),
    [
        (b'"max_running":3', b'"max_running":0'),
        (b'"max_running":3', b'"max_running":null'),
        (b'"queue_key":"k"', b'"queue_key":"{k}"'),
        (b'"queue_length":7', b'"queue_length":-7'),
        (b'{"max_running":3,"queue_key":"k","queue_length":7}', b"[]"),
    ],
)
def test_a_graph_with_another_queue_is_refused(was: bytes, wrong: bytes) -> None:
    flow = Flow("w", max_running=3, queue_length=7, queue_key="k").then(echo)
    data = canonical_graph(flow.build().graph)
    assert was in data
    with pytest.raises(DecodeError):
        graph_from_json(data.replace(was, wrong))


def test_a_key_begins_with_the_name_of_its_workflow() -> None:
    queue = StartQueue(max_running=1)
    assert queue.key_of("a/b", lambda: b"1") == "a%2Fb"
    keyed = StartQueue(max_running=1, key="{workflow}:{workflow_input}")
    assert keyed.key_of("a/b", lambda: b'"x"') == "a%2Fb/a/b:x"
    with pytest.raises(UnreadableKeyError, match="a list"):
        keyed.key_of("w", lambda: b"[]")
    with pytest.raises(UnreadableKeyError, match="at most 240 bytes"):
        keyed.key_of("w" * 99, lambda: b'"' + b"x" * 90 + b'"')


def test_a_flow_inside_another_has_no_queue_of_its_own() -> None:
    inner = Flow("inner", max_running=2).then(echo)
    text = "no max_running of a flow inside another, .* but 'inner' has one of 2"
    for outer in (
        Flow("o").then_flow(inner.build()),
        Flow("o").attempt(inner).on_error(echo),
    ):
        with pytest.raises(ValueError, match=text):
            outer.build()
