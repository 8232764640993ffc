"""Keys by prefix: as a scan says, whatever came and went before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sayiir_es.core.model.key_index import SCAN_ROWS_MAX, KeyIndex, scan
from sayiir_es.core.model.rows import DictRows, StagedRows

# Few letters, so that prefixes meet; the last is beyond the basic plane.
TEXTS = st.text(st.sampled_from("ab/\U0001f600"), max_size=4)
CHANGES = st.dictionaries(TEXTS, st.sampled_from([b"1", None]))


@given(st.dictionaries(TEXTS, st.sampled_from([b"1", None])), TEXTS)
def test_an_index_gives_the_keys_that_a_scan_gives(
    rows: dict[str, bytes | None], prefix: str
) -> None:
    assert list(KeyIndex(rows).with_prefix(prefix)) == list(scan(rows, prefix))


@given(st.lists(CHANGES, max_size=5), TEXTS)
def test_an_index_follows_changes(
    changes: list[dict[str, bytes | None]], prefix: str
) -> None:
    rows = dict[str, bytes | None]()
    index = KeyIndex(rows)
    for change in changes:
        list(index.with_prefix(prefix))
        for key, row in change.items():
            index.follow(key, rows.get(key), row)
            rows[key] = row
    assert list(index.with_prefix(prefix)) == list(scan(rows, prefix))


def test_keys_are_those_of_the_moment_of_the_question() -> None:
    index = KeyIndex({"a1": b"", "a2": b"", "b": b""})
    keys = index.with_prefix("a")
    index.follow("a1", b"", None)
    index.follow("a3", None, b"")
    assert list(keys) == ["a1", "a2"]
    assert list(index.with_prefix("a")) == ["a2", "a3"]


@given(CHANGES, CHANGES, TEXTS, st.booleans())
def test_staged_rows_give_the_keys_of_both(
    base: dict[str, bytes | None],
    changes: dict[str, bytes | None],
    prefix: str,
    large: bool,  # noqa: FBT001 (drawn)
) -> None:
    rows, whole = DictRows(), DictRows()
    if large:  # so many that both keep an index
        filler = {f"z{number}": b"" for number in range(SCAN_ROWS_MAX)}
        base, changes = {**base, **filler}, {**changes, **filler}
    list(rows.keys(prefix))
    rows.apply(base)
    staged = StagedRows(rows)
    list(staged.keys(prefix))
    staged.apply(changes)
    whole.apply(base)
    whole.apply(changes)
    assert sorted(staged.keys(prefix)) == list(whole.keys(prefix))
