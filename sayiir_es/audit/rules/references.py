"""I19: the bytes that a reference names, put together from what events recorded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.paths import decode_segment

if TYPE_CHECKING:
    from sayiir_es.audit.rules.run_model import Caught, RunModel

SHOWN_BYTES = 200
"""Of a payload in a message."""


def check_reference(path: str, expected: str, seen: str) -> None:
    """Check that an input, or a result, is the reference that was recorded for it."""
    if expected != seen:
        raise BreachError("I19", f"{expected!r} to flow at {path!r}", f"{seen!r}")


def check_bytes(model: RunModel, reference: str, seen: bytes, what: str) -> None:
    """Check that bytes in an event are those that the reference names."""
    expected = bytes_of(model, reference)
    if expected != seen:
        raise BreachError(
            "I19",
            f"{what} to be {payload_text(expected)}, as {reference!r} says",
            f"it is {payload_text(seen)}",
        )


def bytes_of(model: RunModel, reference: str) -> bytes:
    """What a reference names."""
    if reference == "null":
        return b"null"
    kind, _, path = reference.partition(":")
    if kind == "joined":
        assert model.graph is not None
        parts = [
            json.dumps(_branch_name(name), ensure_ascii=False).encode()
            + b":"
            + bytes_of(model, _result_of(model, f"{path}/{name}"))
            for name in model.graph.firsts(path)
        ]
        return b"{%s}" % b",".join(parts)
    if kind == "routed":
        key = json.dumps(model.keys.get(path), ensure_ascii=False).encode()
        result = bytes_of(model, _result_of(model, path))
        return b'{"branch":%s,"result":%s}' % (key, result)
    if kind == "caught":
        return _caught_bytes(model, path)
    value = model.values.get(reference)
    if value is None:
        raise BreachError("I19", f"a recorded value {reference!r}", "there is none")
    return value


def _caught_bytes(model: RunModel, path: str) -> bytes:
    caught = model.caught.get(path)
    if caught is None:
        raise BreachError("I19", f"an error that {path!r} caught", "there is none")
    assert model.graph is not None
    node = model.graph.node(caught.path)
    error = {
        "type": caught.error_type,
        "message": _message_of(caught),
        "task": caught.path if node is None else node.id,
        "path": caught.path,
    }
    text = json.dumps(error, ensure_ascii=False, separators=(",", ":")).encode()
    return b'{"error":%s,"input":%s}' % (text, bytes_of(model, caught.input))


def _message_of(caught: Caught) -> str:
    if caught.error == caught.error_type:
        return ""
    begin = f"{caught.error_type}: "
    return caught.error.removeprefix(begin)


def _result_of(model: RunModel, chain: str) -> str:
    result = model.branch_results.get(chain)
    if result is None:
        raise BreachError("I19", f"a recorded result of {chain!r}", "there is none")
    return result


def _branch_name(segment: str) -> str:
    name, mark, number = segment.rpartition("#")
    return decode_segment(name) + mark + number if mark else decode_segment(segment)


def payload_text(data: bytes) -> str:
    """Payload bytes for people, cut where they are long."""
    text = data[:SHOWN_BYTES].decode("utf-8", "backslashreplace")
    return text if len(data) <= SHOWN_BYTES else f"{text} … ({len(data)} bytes)"
