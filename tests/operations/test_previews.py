"""Large values are cut before they are shown, and say by how much."""

from __future__ import annotations

import pytest

from sayiir_es.operations.previews import (
    CHARACTERS_MAX,
    ITEMS_MAX,
    VALUES_MAX,
    preview,
)


@pytest.mark.parametrize(
    "value", [None, 0, "", "text", [], {}, {"a": [1, {"b": None}]}]
)
def test_what_fits_stays_as_it_is(value: object) -> None:
    assert preview(value) == (value, False)


def test_long_lists_objects_and_texts_are_cut() -> None:
    assert preview([*range(ITEMS_MAX + 5)]) == (
        [*range(ITEMS_MAX), "… 5 more"],
        True,
    )
    names = {str(n): n for n in range(ITEMS_MAX + 1)}
    shown, is_cut = preview(names)
    assert is_cut
    assert shown == {**{str(n): n for n in range(ITEMS_MAX)}, "… 1 more": "…"}
    assert preview("x" * (CHARACTERS_MAX + 1)) == (
        "x" * CHARACTERS_MAX + "… 1 more",
        True,
    )


def test_many_small_values_are_cut_together() -> None:
    shown, is_cut = preview([[[0] * 50] * 50] * 50)
    assert is_cut
    assert str(shown).count("0") < 2 * VALUES_MAX
