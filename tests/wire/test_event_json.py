"""Events as JSON objects."""

from __future__ import annotations

import base64
import json

import pytest

from sayiir_es.core.model.events import Event, SignalReceived, TaskCompleted
from sayiir_es.wire.event_json import event_to_json
from tests.wire.examples import AT, EVENTS, populated_event


def test_an_event_is_one_flat_object_with_its_place_first() -> None:
    body = TaskCompleted(
        path="charge", attempt=1, output=b'{"amount":5}', loop="none", worker="w1"
    )
    json_event = event_to_json(populated_event(body), partition=3, offset=1042)
    assert list(json_event.items()) == [
        ("kind", "TaskCompleted"),
        ("partition", 3),
        ("offset", 1042),
        ("instance_id", "order-7é"),
        ("run", 1),
        ("sequence", 65),
        ("at", AT),
        ("claim", 1001),
        ("cause", "outcome:eu||us/eu/charge%2F1#2#1"),
        ("path", "charge"),
        ("attempt", 1),
        ("output", {"amount": 5}),
        ("loop", "none"),
        ("worker", "w1"),
        ("compensable", False),
    ]


def test_an_event_without_a_place_shows_none() -> None:
    json_event = event_to_json(EVENTS[0])
    assert "partition" not in json_event
    assert "offset" not in json_event


@pytest.mark.parametrize("payload", [b"\xff\xfe", b"NaN", b"", b"[" * 100_000])
def test_payload_bytes_that_are_not_json_are_shown_in_base64(payload: bytes) -> None:
    body = SignalReceived(command_id="c", signal="s", signal_id=None, payload=payload)
    json_payload = event_to_json(populated_event(body))["payload"]
    assert json_payload == {"base64": base64.b64encode(payload).decode()}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_every_kind_is_shown_as_json(event: Event) -> None:
    json_event = event_to_json(event, partition=0, offset=0)
    assert json.loads(json.dumps(json_event, allow_nan=False)) == json_event
