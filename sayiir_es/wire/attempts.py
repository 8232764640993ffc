"""Attempts for executors elsewhere, as the records of the attempts topic.

Theory of operation. An owner writes to the partition that an executor reads, with the
executor's id as the key, in Avro's single-object encoding: an attempt that it hands
out, or that one handed out before is not wanted any more. Nothing else stands there. An
executor skips the keys of others without a look at the value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter, call
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

from sayiir_es.core.fast_frozen import fast_frozen
from sayiir_es.wire.avro_record import (
    UNWRITABLE,
    check_head,
    read_record,
    write_record,
)
from sayiir_es.wire.binary import (
    WRITERS,
    write_recurring_long,
    write_recurring_string,
)
from sayiir_es.wire.errors import UnreadableError, excerpt_of
from sayiir_es.wire.schema import (
    ATTEMPT_NAMESPACE,
    HEAD_BYTES,
    load_older_schemas,
    load_schemas,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sayiir_es.wire.binary import Writer
    from sayiir_es.wire.schema import RecordSchema

SECRET_BYTES = 16
"""How long the secret of a hand-out is."""

DEFAULT_LEASE_MS = 10_000
"""How long an owner waits for an executor's progress until an attempt is lost."""

CancelReason: TypeAlias = Literal["cancel", "pause", "timeout", "lost"]
CANCEL_REASONS: tuple[CancelReason, ...] = get_args(CancelReason)


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedAttempt:
    """An attempt that an owner hands to one executor; the record `Attempt`.

    Attributes:
        secret: 16 random bytes of this hand-out; its outcome counts with them only.
        partition: Of the instance: there its outcome and its progress go.
        task_id: Of a route's key function the route's id and `::key_fn`.
        named: What its function takes by name, as bytes of the payload codec.
        timeout_ms: From the hand-out on; None: it may run for ever.
        heartbeat_timeout_ms: How long its function may tell no progress.
        lease_ms: How long the owner waits for progress or an outcome.
        payload_limit: How many bytes an output may have.
    """

    executor: str
    instance_id: str
    run: int
    path: str
    attempt: int
    secret: bytes
    partition: int
    workflow: str
    definition_hash: str
    graph_digest: str
    task_id: str
    input: bytes
    named: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    tags: tuple[str, ...] = ()
    timeout_ms: int | None = None
    heartbeat_timeout_ms: int | None = None
    lease_ms: int = DEFAULT_LEASE_MS
    idempotency_key: str
    lineage: int = 1
    ends_loop: bool = False
    is_key: bool = False
    traceparent: str | None = None
    payload_limit: int = 768 * 1024

    @property
    def token(self) -> tuple[str, int, str, int]:
        """What names the attempt: instance, run, path, number."""
        return (self.instance_id, self.run, self.path, self.attempt)


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptCancelled:
    """An attempt that was handed out is not wanted any more, or not for long.

    After `timeout` and `lost` its outcome is not wanted; after `cancel` and `pause` its
    function is told, and has `grace_ms` milliseconds to end.
    """

    executor: str
    instance_id: str
    run: int
    path: str
    attempt: int
    reason: CancelReason
    grace_ms: int = 0

    @property
    def token(self) -> tuple[str, int, str, int]:
        """What names the attempt: instance, run, path, number."""
        return (self.instance_id, self.run, self.path, self.attempt)


AttemptRecord: TypeAlias = PublishedAttempt | AttemptCancelled

_CLASSES: dict[str, type[AttemptRecord]] = {
    "Attempt": PublishedAttempt,
    "AttemptCancelled": AttemptCancelled,
}
_SCHEMAS = load_schemas(ATTEMPT_NAMESPACE)
_BY_HEAD = {
    schema.head: schema
    for schema in (*load_older_schemas(ATTEMPT_NAMESPACE), *_SCHEMAS.values())
}

_RECURRING: Mapping[str, Writer] = {
    "executor": write_recurring_string,
    "path": write_recurring_string,
    "workflow": write_recurring_string,
    "definition_hash": write_recurring_string,
    "graph_digest": write_recurring_string,
    "task_id": write_recurring_string,
    "lease_ms": write_recurring_long,
    "payload_limit": write_recurring_long,
}
"""Of fields that are the same in many attempts: their bytes are remembered."""


@dataclass(frozen=True, slots=True)
class _Encoding:
    """How the records of a class become bytes: looked up once for each class."""

    schema: RecordSchema
    writers: tuple[Writer, ...]
    values: Callable[[AttemptRecord], tuple[Any, ...]]


def _encoding_of(schema: RecordSchema) -> _Encoding:
    return _Encoding(
        schema=schema,
        writers=tuple(
            _RECURRING.get(field.name, WRITERS[field.shape]) for field in schema.fields
        ),
        values=attrgetter(*(field.name for field in schema.fields)),
    )


_ENCODINGS = {kind: _encoding_of(_SCHEMAS[name]) for name, kind in _CLASSES.items()}
_call: Callable[[Writer, Any], bytes] = call  # pyright: ignore[reportAssignmentType]  # `map` then loops in C, but the stub binds one argument


def encode_attempt(record: AttemptRecord) -> bytes:
    """Return the bytes of a record, in single-object encoding.

    Raises:
        EncodeError: if a value is not what its field takes; names the field.
    """
    encoding = _ENCODINGS[type(record)]
    schema, values = encoding.schema, encoding.values(record)
    try:
        return b"".join((schema.head, *map(_call, encoding.writers, values)))
    except UNWRITABLE:
        names = (field.name for field in schema.fields)
        return write_record(schema, dict(zip(names, values, strict=True)))


def decode_attempt(data: bytes) -> AttemptRecord:
    """Return what the bytes of a record hold.

    Raises:
        DecodeError: if they are none, or of a schema that this build does not know.
    """
    schema = _BY_HEAD.get(data[:HEAD_BYTES])
    if schema is None:
        check_head(data)
        raise UnreadableError(
            "expected the fingerprint of a schema of attempts that this build knows, "
            f"but {data[2:HEAD_BYTES].hex()}",
            reason="unknown_schema",
        )
    values: dict[str, Any] = read_record(schema, _SCHEMAS[schema.name], data)
    _check(schema.name, values)
    build: Any = _CLASSES[schema.name]  # its fields are the schema's, a test says so
    return cast("AttemptRecord", build(**values))


def _check(name: str, values: Mapping[str, Any]) -> None:
    for field_name in _COUNTS:
        if (values.get(field_name) or 0) < 0:
            raise UnreadableError(
                f"expected {name}.{field_name} from 0, but {values[field_name]}",
                reason="bad_integer",
            )
    if "secret" in values and len(values["secret"]) != SECRET_BYTES:
        raise UnreadableError(
            f"expected {name}.secret to have {SECRET_BYTES} bytes, but "
            f"{len(values['secret'])}",
            reason="bad_length",
        )
    if "reason" in values and values["reason"] not in CANCEL_REASONS:
        raise UnreadableError(
            f"expected {name}.reason to be one of {', '.join(CANCEL_REASONS)}, but "
            f"{excerpt_of(values['reason'])}",
            reason="unknown_word",
        )


_COUNTS = (
    "run",
    "attempt",
    "partition",
    "timeout_ms",
    "heartbeat_timeout_ms",
    "lease_ms",
    "lineage",
    "payload_limit",
    "grace_ms",
)
