"""A route's key is read strictly, for an owner decides by it."""

from __future__ import annotations

import pytest

from sayiir_es.core.nodes.route import key_of


@pytest.mark.parametrize(
    ("output", "key"),
    [
        (b'"eu"', "eu"),
        (b' \n"e\\u0075"\t', "eu"),
        ('"é"'.encode(), "é"),
        (b'"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        (b'"\\ud800"', None),
        (b'"\xff"', None),
        ('"eu"'.encode("utf-16"), None),
        ('"eu"'.encode("utf-8-sig"), None),
        (b"[" * 100_000, None),
        (b'"' + b"[" * 100_000, None),
        (b"7", None),
        (b"null", None),
        (b'"eu" 1', None),
        (b"", None),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_a_key_is_one_text_that_utf_8_can_carry(output: bytes, key: str | None) -> None:
    assert key_of(output) == key
