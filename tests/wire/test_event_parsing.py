"""Events from their JSON: all kinds come back, and what is none says why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sayiir_es.core.model.errors import DecodeError
from sayiir_es.wire.event_json import event_to_json
from sayiir_es.wire.event_parsing import event_from_json
from tests.wire.examples import BODIES, populated_event

EXAMPLES = tuple(map(populated_event, BODIES))


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.kind)
def test_an_event_comes_back_from_its_json(event: Any) -> None:
    shown = event_to_json(event, partition=3, offset=7)
    text = json.dumps(shown)
    again = event_from_json(json.loads(text), "line 1")
    assert event_to_json(again, partition=3, offset=7) == shown
    assert (again.kind, again.sequence, again.at) == (
        event.kind,
        event.sequence,
        event.at,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "Danced"}, "expected an event of a known kind at line 1, but 'Dan"),
        ({"at": "noon"}, "expected a whole number at line 1.at, but a str"),
        ({"at": 2**64}, "expected a whole number at line 1.at, but a int"),
        ({"path": None}, "expected a string at line 1.path, but nothing"),
        ({"path": "\ud800"}, "expected a string at line 1.path, but a str"),
        ({"kind": 5}, "expected a string at line 1.kind, but a int"),
    ],
)
def test_what_is_no_event_says_what_was_expected(
    change: dict[str, object], message: str
) -> None:
    event = next(one for one in EXAMPLES if one.kind == "TaskCompleted")
    with pytest.raises(DecodeError, match=message):
        event_from_json({**event_to_json(event), **change}, "line 1")


def test_a_field_that_lacks_is_named() -> None:
    event = next(one for one in EXAMPLES if one.kind == "TaskCompleted")
    fields = event_to_json(event)
    del fields["output"]
    with pytest.raises(DecodeError, match=r"a JSON value at line 1\.output"):
        event_from_json(fields, "line 1")
    del fields["at"]
    with pytest.raises(DecodeError, match=r"a whole number at line 1\.at"):
        event_from_json(fields, "line 1")


@pytest.mark.parametrize("data", [5, None, [], "text"])
def test_what_is_no_object_is_no_event(data: object) -> None:
    with pytest.raises(DecodeError, match="expected an object at line 1"):
        event_from_json(data, "line 1")
