"""Every decoder of bytes from outside: samples that it reads, and what it may raise.

A `read` checks the result as well: it can be encoded, and decodes to the same value.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.graph.record import graph_of_record, record_of_graph
from sayiir_es.core.model.errors import DecodeError, EncodeError, UnknownEventError
from sayiir_es.engine.definitions.capabilities import (
    Capabilities,
    Refusal,
    read_capabilities,
)
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.wire.attempts import decode_attempt, encode_attempt
from sayiir_es.wire.commands import (
    decode_command,
    encode_command_avro,
    encode_command_json,
    read_origin,
    write_origin,
)
from sayiir_es.wire.errors import UnreadableError
from sayiir_es.wire.event_json import event_to_json
from sayiir_es.wire.events import (
    decode_event,
    encode_event,
    event_headers,
    read_headers,
)
from sayiir_es.wire.executor_requests import HeldAttempt, OfferSlots, Progress
from sayiir_es.wire.payload import decode_payload, encode_payload
from sayiir_es.wire.requests import decode_request, encode_request
from sayiir_es.wire.snapshots import decode_snapshot, encode_snapshot
from sayiir_es.wire.trace_context import TRACEPARENT_HEADER
from tests.fuzz.graphs import GRAPHS
from tests.wire.examples import COMMANDS, EVENTS, golden_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REFUSAL_CHARACTERS_MAX = 2_000
"""A message has an excerpt of the input, never all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """One decoder.

    Attributes:
        refusals: What it may raise; their messages begin with `expected`.
        share: Its weight, by which a run's records are divided among the decoders.
    """

    name: str
    samples: tuple[bytes, ...]
    read: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    share: int = 10


# --- events and commands --------------------------------------------------------------


def _golden(part: str) -> tuple[bytes, ...]:
    return tuple(
        bytes.fromhex(forms[form])
        for name, forms in golden_bytes().items()
        if part in name
        for form in ("populated", "minimal")
    )


def _event(data: bytes) -> None:
    event = decode_event(data)
    assert decode_event(encode_event(event)) == event
    json.dumps(event_to_json(event, partition=0, offset=0))


def headers_of(data: bytes) -> tuple[tuple[str, bytes], ...]:
    """Return bytes as headers: a name, NUL, its value, a line's end."""
    pairs = (line.partition(b"\x00") for line in data.split(b"\n"))
    return tuple((name.decode("utf-8", "replace"), value) for name, _, value in pairs)


def _lines_of(headers: tuple[tuple[str, bytes], ...]) -> bytes:
    return b"\n".join(name.encode() + b"\x00" + value for name, value in headers)


def _event_headers(data: bytes) -> None:
    headers = read_headers(headers_of(data))
    if headers is not None:
        assert read_headers(event_headers(headers.kind, headers.claim)) == headers


def _snapshot(data: bytes) -> None:
    snapshot = decode_snapshot(data)
    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot


def _attempt(data: bytes) -> None:
    record = decode_attempt(data)
    assert decode_attempt(encode_attempt(record)) == record


def _origin(data: bytes) -> None:
    origin = read_origin(headers_of(data))
    if origin is not None:
        assert read_origin(write_origin(origin)) == origin


def _command(data: bytes) -> None:
    """The bytes before the first NUL are tried as the record's key, too."""
    for key in (b"order-7", data.partition(b"\x00")[0], None):
        command = decode_command(key=key, value=data, partition=3, offset=41)
        data = encode_command_avro(command)
        again = decode_command(key=None, value=data, partition=0, offset=0)
        assert again == command
        encode_command_json(command)


# --- payloads and definitions ---------------------------------------------------------


def _payload(data: bytes) -> None:
    value = decode_payload(data)
    try:
        encoded = encode_payload(value)
    except EncodeError:
        return  # JSON's escapes spell lone surrogates, and 1e999
    assert decode_payload(encoded) == value


def _definition(data: bytes) -> None:
    registry = Registry()
    graph = registry.publish(data)
    assert graph_of_record(record_of_graph(graph)) == graph
    assert registry.by_digest(graph.digest) is graph
    assert registry.by_hash(graph.definition_hash) is graph
    assert graph.place(graph.first) is not None


def _capabilities(data: bytes) -> None:
    capabilities = read_capabilities(data)
    assert read_capabilities(capabilities.record()) == capabilities


def _capability_records() -> Iterator[bytes]:
    for tags in (None, frozenset[str](), frozenset({"gpu", "eu"})):
        yield Capabilities(graphs=frozenset({"ab" * 32, "cd" * 32}), tags=tags).record()
        refusals = {3: Refusal(code="store", reason="expected room, but none")}
        yield Capabilities(graphs=frozenset(), tags=tags, refusals=refusals).record()


SECRET = "0f" * 16
EXECUTOR_REQUESTS = (
    OfferSlots(executor="e", free=1, slots=2, tags=("eu",), graphs=("ab" * 32,)),
    OfferSlots(executor="e", free=0, slots=2, tasks=("orders/a",), stopping=True),
    Progress(
        executor="e",
        attempts=(
            HeldAttempt(instance_id="i", run=1, path="a", attempt=2, secret=SECRET),
            HeldAttempt(
                instance_id="j", run=1, path="a", attempt=2, secret=SECRET, details=b"7"
            ),
        ),
    ),
)


def _executor_request(data: bytes) -> None:
    request = decode_request(data)
    assert decode_request(encode_request(request)) == request


_PAYLOADS = (
    b'{"amount":5,"lines":[{"id":1,"note":"\\u00e9"},null,true,-0.5e3]}',
    b'"text"',
    b"[[[[1]]]]",
    b"12345678901234567890",
    b'{"":{"":[]}}',
)

WIRE_DECODERS: tuple[Decoder, ...] = (
    Decoder(
        name="event",
        samples=_golden(".event."),
        read=_event,
        refusals=(UnreadableError, UnknownEventError),
        share=30,
    ),
    Decoder(
        name="snapshot",
        samples=_golden(".snapshot."),
        read=_snapshot,
        refusals=(UnreadableError,),
    ),
    Decoder(
        name="attempt",
        samples=_golden(".attempt."),
        read=_attempt,
        refusals=(UnreadableError,),
    ),
    Decoder(
        name="executor-request",
        samples=tuple(encode_request(one) for one in EXECUTOR_REQUESTS),
        read=_executor_request,
        refusals=(DecodeError,),
    ),
    Decoder(
        name="event-headers",
        samples=tuple(_lines_of(event_headers(e.kind, e.claim)) for e in EVENTS[:9]),
        read=_event_headers,
        refusals=(),
    ),
    Decoder(
        name="origin-header",
        samples=(
            _lines_of(write_origin((3, 41))),
            _lines_of(((TRACEPARENT_HEADER, b"00-1-2-01"), *write_origin((0, 0)))),
        ),
        read=_origin,
        refusals=(),
    ),
    Decoder(
        name="command",
        samples=(
            *(encode_command_avro(command) for command in COMMANDS),
            *(encode_command_json(command) for command in COMMANDS),
        ),
        read=_command,
        refusals=(UnreadableError,),
        share=30,
    ),
    Decoder(
        name="payload",
        samples=_PAYLOADS,
        read=_payload,
        refusals=(UnreadableError,),
    ),
    Decoder(
        name="definition",
        samples=tuple(map(record_of_graph, GRAPHS)),
        read=_definition,
        refusals=(DecodeError,),
        share=20,
    ),
    Decoder(
        name="announcement",
        samples=tuple(_capability_records()),
        read=_capabilities,
        refusals=(DecodeError,),
        share=5,
    ),
)
