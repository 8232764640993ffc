"""Events as the records of the events topic: bytes, key and headers.

Theory of operation. This is the hot path: an event is encoded once by its owner and
decoded by every reader. The code names the six common fields, since all kinds begin
with them; the fields of the kind are written and read by the functions that
`wire.binary` has for their shapes. Decoding sets the slots of the values directly: the
`__init__` of a frozen dataclass costs more than reading the bytes, and does nothing
else here.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, fields
from functools import lru_cache
from operator import attrgetter, call
from typing import TYPE_CHECKING, Any, get_args

from sayiir_es.core.model.errors import EncodeError, UnknownEventError
from sayiir_es.core.model.events import Body, Event
from sayiir_es.wire.avro_record import UNWRITABLE, check_head, read_record, write_record
from sayiir_es.wire.binary import (
    READERS,
    WRITERS,
    read_int,
    read_long,
    read_string,
    write_bytes,
    write_int,
    write_long,
    write_recurring_long,
    write_recurring_string,
)
from sayiir_es.wire.errors import UnreadableError, excerpt_of
from sayiir_es.wire.schema import (
    EVENT_NAMESPACE,
    HEAD_BYTES,
    RecordSchema,
    load_older_schemas,
    load_schemas,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sayiir_es.wire.binary import Reader, Writer

COMMON_FIELDS = ("claim", "instance_id", "run", "sequence", "at", "cause")
"""The fields that every event begins with, in this order."""

KIND_HEADER = "kind"
CLAIM_HEADER = "claim"

_KIND_CHARACTERS_MAX = 128
_RECURRING = ("path", "input", "loop", "worker", "workflow")
_CLAIM = re.compile(rb"-1|0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventHeaders:
    """What filters and the claim rule need of an event; read without decoding it."""

    kind: str
    claim: int


@dataclass(frozen=True, slots=True)
class _Encoding:
    schema: RecordSchema
    head: bytes
    writers: tuple[Writer, ...]
    values: Callable[[Body], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class _Decoding:
    schema: RecordSchema
    newest: RecordSchema
    body: type[Body]
    readers: tuple[tuple[Reader, Callable[[Body, Any], None]], ...]
    defaults: tuple[tuple[Callable[[Body, Any], None], object], ...]


KINDS: dict[str, type[Body]] = {body.__name__: body for body in get_args(Body)}
"""The body's class by the name of the kind."""

SCHEMAS = load_schemas(EVENT_NAMESPACE)


def _values_of(body: type[Body]) -> Callable[[Body], tuple[Any, ...]]:
    names = [field.name for field in fields(body)]
    get = attrgetter(*names)
    return get if len(names) > 1 else lambda value: (get(value),)


def _setter(owner: type, name: str) -> Callable[[Any, Any], None]:
    setter: Callable[[Any, Any], None] = getattr(owner, name).__set__
    return setter


def decoding_of(schema: RecordSchema, newest: RecordSchema) -> _Decoding:
    """Return how bytes that `schema` wrote become a value of the newest schema.

    Raises:
        KeyError: if a field that `newest` adds has no default.
    """
    body = KINDS[schema.name]
    own = schema.fields[len(COMMON_FIELDS) :]
    written_names = {field.name for field in schema.fields}
    return _Decoding(
        schema=schema,
        newest=newest,
        body=body,
        readers=tuple((READERS[f.shape], _setter(body, f.name)) for f in own),
        defaults=tuple(
            (_setter(body, field.name), newest.defaults[field.name])
            for field in newest.fields
            if field.name not in written_names
        ),
    )


def _encoding_of(body: type[Body]) -> _Encoding:
    schema = SCHEMAS[body.__name__]
    return _Encoding(
        schema=schema,
        head=schema.head,
        writers=tuple(
            write_recurring_string
            if field.shape == "string" and field.name in _RECURRING
            else WRITERS[field.shape]
            for field in schema.fields[len(COMMON_FIELDS) :]
        ),
        values=_values_of(body),
    )


_ENCODINGS = {body: _encoding_of(body) for body in KINDS.values()}
_DECODINGS = {
    schema.head: decoding_of(schema, SCHEMAS[schema.name])
    for schema in (*load_older_schemas(EVENT_NAMESPACE), *SCHEMAS.values())
}


def _numbered_schemas() -> dict[bytes, int]:
    """By the head that a schema writes, the how manieth of its kind it is, from 1."""
    numbers: dict[bytes, int] = {}
    counts: Counter[str] = Counter()
    for schema in (*load_older_schemas(EVENT_NAMESPACE), *SCHEMAS.values()):
        if schema.head not in numbers:
            counts[schema.name] += 1
            numbers[schema.head] = counts[schema.name]
    return numbers


_SCHEMA_NUMBERS = _numbered_schemas()

_call: Callable[[Writer, Any], bytes] = call  # pyright: ignore[reportAssignmentType]  # `map` then loops in C, but the stub binds one argument
_new = object.__new__
_set_claim, _set_instance_id, _set_run, _set_sequence, _set_at, _set_cause = (
    _setter(Event, name) for name in COMMON_FIELDS
)
_set_body = _setter(Event, "body")


def encode_keyed(event: Event) -> tuple[bytes | None, bytes]:
    """Return key and value of an event's record; the value in single-object encoding.

    The key is the instance id, or None for an event without one.

    Raises:
        EncodeError: if a value is not what its field takes, such as text with a lone
            surrogate or an integer beyond its range; names the field.
    """
    body = event.body
    try:
        encoding = _ENCODINGS[type(body)]
        instance_id = event.instance_id.encode()
        value = b"".join(
            (
                encoding.head,
                write_recurring_long(event.claim),
                write_bytes(instance_id),  # as a string: its length, and these bytes
                write_int(event.run),
                write_long(event.sequence),
                write_recurring_long(event.at),
                write_recurring_string(event.cause),
                *map(_call, encoding.writers, encoding.values(body)),
            )
        )
    except UNWRITABLE as error:
        raise _encode_error_of(event) from error
    return instance_id or None, value


def encode_event(event: Event) -> bytes:
    """Return the bytes of an event; as `encode_keyed`, without the key."""
    return encode_keyed(event)[1]


def _encode_error_of(event: Event) -> EncodeError:
    encoding = _ENCODINGS.get(type(event.body))
    if encoding is None:
        return EncodeError(f"expected a known event kind, but {event.kind!r}")
    values = {name: getattr(event, name) for name in COMMON_FIELDS}
    values |= {f.name: getattr(event.body, f.name) for f in fields(event.body)}
    try:
        write_record(encoding.schema, values)
    except EncodeError as error:
        return error
    return EncodeError(f"expected a writable {event.kind}, but it is none")


def decode_event(data: bytes) -> Event:
    """Return the event that the bytes hold.

    Raises:
        UnknownEventError: if no schema of this build has their fingerprint.
        DecodeError: if they are no event at all, or a damaged one.
    """
    decoding = _DECODINGS.get(data[:HEAD_BYTES])
    if decoding is None:
        check_head(data)
        raise UnknownEventError(
            "expected the fingerprint of an event schema that this build knows, but "
            f"{data[2:HEAD_BYTES].hex()}"
        )
    event = _new(Event)
    body = _new(decoding.body)
    try:
        value, place = read_long(data, HEAD_BYTES)
        _set_claim(event, value)
        text, place = read_string(data, place)
        _set_instance_id(event, text)
        value, place = read_int(data, place)
        _set_run(event, value)
        value, place = read_long(data, place)
        _set_sequence(event, value)
        value, place = read_long(data, place)
        _set_at(event, value)
        text, place = read_string(data, place)
        _set_cause(event, text)
        for read, set_field in decoding.readers:
            own, place = read(data, place)
            set_field(body, own)
    except (IndexError, UnicodeDecodeError, UnreadableError) as error:
        raise _unreadable_error_of(decoding, data) from error
    if place != len(data):
        raise _unreadable_error_of(decoding, data)
    for set_field, default in decoding.defaults:
        set_field(body, default)
    _set_body(event, body)
    return event


def schema_version(data: bytes) -> int:
    """Which schema of its kind wrote an event, from 1; 0 if this build knows none."""
    return _SCHEMA_NUMBERS.get(data[:HEAD_BYTES], 0)


def _unreadable_error_of(decoding: _Decoding, data: bytes) -> UnreadableError:
    try:
        read_record(decoding.schema, decoding.newest, data)
    except UnreadableError as error:
        return error
    return UnreadableError(
        f"expected {decoding.schema.name}, but {excerpt_of(data)}", reason="undecodable"
    )


@lru_cache(maxsize=1024)
def event_headers(event_kind: str, claim: int) -> tuple[tuple[str, bytes], ...]:
    """Return the headers that every event record has."""
    return (KIND_HEADER, event_kind.encode()), (CLAIM_HEADER, b"%d" % claim)


def read_headers(headers: Sequence[tuple[str, bytes]]) -> EventHeaders | None:
    """Return kind and claim; None if one is missing, there twice, or not readable."""
    kind: bytes | None = None
    claim: bytes | None = None
    for name, value in headers:
        if name == KIND_HEADER:
            if kind is not None:
                return None
            kind = value
        elif name == CLAIM_HEADER:
            if claim is not None:
                return None
            claim = value
    if kind is None or claim is None or len(kind) > _KIND_CHARACTERS_MAX:
        return None
    return _parse_headers(kind, claim)


@lru_cache(maxsize=1024)
def _parse_headers(kind: bytes, claim: bytes) -> EventHeaders | None:
    if not kind or not kind.isascii() or _CLAIM.fullmatch(claim) is None:
        return None
    return EventHeaders(kind=kind.decode(), claim=int(claim))
