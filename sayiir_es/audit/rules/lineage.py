"""I19: the bytes that a reference names, spliced from what events recorded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.paths import decode_segment

if TYPE_CHECKING:
    from sayiir_es.audit.rules.run_model import RunModel

SHOWN_BYTES = 200
"""Of a payload in a message."""


def same_reference(path: str, expected: str, seen: str) -> None:
    """An input, or a result, must be the reference that was recorded for it."""
    if expected != seen:
        raise BreachError("I19", f"{expected!r} to flow at {path!r}", f"{seen!r}")


def same_bytes(model: RunModel, reference: str, seen: bytes, what: str) -> None:
    """Bytes that stand in an event must be those that the reference names."""
    expected = bytes_of(model, reference)
    if expected != seen:
        raise BreachError(
            "I19",
            f"{what} to be {shown(expected)}, as {reference!r} says",
            f"it is {shown(seen)}",
        )


def bytes_of(model: RunModel, reference: str) -> bytes:
    """What a reference names."""
    if reference == "null":
        return b"null"
    sort, _, path = reference.partition(":")
    if sort == "joined":
        assert model.blueprint is not None
        parts = [
            json.dumps(_branch_name(name), ensure_ascii=False).encode()
            + b":"
            + bytes_of(model, _recorded(model, f"{path}/{name}"))
            for name in model.blueprint.firsts(path)
        ]
        return b"{%s}" % b",".join(parts)
    if sort == "routed":
        key = json.dumps(model.keys.get(path), ensure_ascii=False).encode()
        result = bytes_of(model, _recorded(model, path))
        return b'{"branch":%s,"result":%s}' % (key, result)
    found = model.values.get(reference)
    if found is None:
        raise BreachError("I19", f"a recorded value {reference!r}", "there is none")
    return found


def _recorded(model: RunModel, chain: str) -> str:
    found = model.branch_results.get(chain)
    if found is None:
        raise BreachError("I19", f"a recorded result of {chain!r}", "there is none")
    return found


def _branch_name(segment: str) -> str:
    name, mark, number = segment.rpartition("#")
    return decode_segment(name) + mark + number if mark else decode_segment(segment)


def shown(data: bytes) -> str:
    """Payload bytes for people, cut where they are long."""
    text = data[:SHOWN_BYTES].decode("utf-8", "backslashreplace")
    return text if len(data) <= SHOWN_BYTES else f"{text} … ({len(data)} bytes)"
