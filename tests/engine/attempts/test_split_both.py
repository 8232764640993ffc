"""What a compensation is given in two is cut where it was put together."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from sayiir_es.engine.attempts.named_values import split_both

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
BLANKS = st.sampled_from([b"", b" ", b"\n\t "])


@given(JSON, JSON, BLANKS, BLANKS)
def test_both_parts_keep_their_bytes(
    value: object, result: object, before: bytes, behind: bytes
) -> None:
    given_, got = json.dumps(value).encode(), json.dumps(result).encode()
    data = b'{"input":' + before + given_ + behind + b',"result":' + got + b"}"
    assert split_both(data) == (given_, got)


def test_a_text_that_looks_like_the_border_is_none() -> None:
    tricky = json.dumps(',"result":').encode()
    data = b'{"input":' + tricky + b',"result":' + tricky + b"}"
    assert split_both(data) == (tricky, tricky)
