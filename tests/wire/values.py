"""Hypothesis strategies for the fields of events, commands and payloads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from sayiir_es.wire.schema import RecordSchema

PATIENT = settings(deadline=None)
"""A busy machine is slow now and then; that is no failure."""

INTS = st.integers(-(2**31), 2**31 - 1)
LONGS = st.integers(-(2**63), 2**63 - 1)
BLOBS = st.binary(max_size=300) | st.binary(min_size=8190, max_size=8200)

SHAPES: dict[str, st.SearchStrategy[Any]] = {
    "int": INTS,
    "long": LONGS,
    "string": st.text(max_size=200),
    "bytes": BLOBS,
    "boolean": st.booleans(),
    "long?": st.none() | LONGS,
    "string?": st.none() | st.text(),
    "bytes?": st.none() | BLOBS,
    "[string]": st.lists(st.text()).map(tuple),
    "{string}": st.dictionaries(st.text(), st.text()),
    "{bytes}": st.dictionaries(st.text(), BLOBS, max_size=3),
}

WORDS: dict[str, st.SearchStrategy[str]] = {
    "conflict_policy": st.sampled_from(["fail", "use_existing", "terminate_existing"]),
    "result": st.sampled_from(["completed", "failed", "withdrawn"]),
    "reason": st.sampled_from(["cancel", "pause", "timeout", "lost"]),
    "loop": st.sampled_from(["none", "again", "done"]),
}

JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def record_values(schema: RecordSchema) -> st.SearchStrategy[dict[str, Any]]:
    """Values that fit the schema's fields."""
    return st.fixed_dictionaries({f.name: SHAPES[f.shape] for f in schema.fields})
