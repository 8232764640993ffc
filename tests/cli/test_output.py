"""What is printed cannot steer a terminal, and stays what it was."""

from __future__ import annotations

import json

import pytest

from sayiir_es.operations.text import payload_value, to_json, visible

EVIL = "a\x1b[2J\n\r\x00\x7f\x9b31m\u202ez\ud800"


def test_control_characters_become_visible() -> None:
    text = visible(EVIL)
    assert text.isprintable()
    assert "\\x1b[2J\\n" in text
    assert "\\u202e" in text


def test_letters_of_all_languages_stay_as_they_are() -> None:
    text = "Zürich 東京 ✓"
    assert visible(text) == text
    assert to_json(text) == f'"{text}"'


@pytest.mark.parametrize("indent", [None, 2])
def test_json_escapes_what_does_not_print_and_reads_back_the_same(
    indent: int | None,
) -> None:
    value = {"id": EVIL, "more": ["\U000e0001", {"x": 1}]}
    text = to_json(value, indent=indent)
    assert all(line.isprintable() for line in text.split("\n"))
    assert json.loads(text) == value


def test_payload_that_is_no_json_is_shown_as_text() -> None:
    assert payload_value(b'{"a": [1]}') == {"a": [1]}
    assert payload_value(b"\xff\x00") == {"text": "\\xff\x00"}
