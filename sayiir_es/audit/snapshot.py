"""An instance's snapshot as data: what people and programs compare.

Made of the rows that a fold gives, so it is the same from a log, a store or an export.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import DecodeError
from sayiir_es.core.model.rows import get_buffered, get_cursors, get_text, get_value
from sayiir_es.wire.payload import decode_payload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.model.rows import Cursor, Rows
    from sayiir_es.core.status.status import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state of an instance after one of its events.

    Attributes:
        status: As `WorkflowClient.status` and `instance show` give it; None before the
            first run.
        cursors: By chain (the root's is empty), its node and what it waits for.
        values: By reference (`start`, `result:PATH`, …), the value; decoded JSON.
        signals: By name, the sequences of those that no wait has taken.
        routes: By path, the key that a route chose.
    """

    status: Status | None
    cursors: Mapping[str, Mapping[str, object]]
    values: Mapping[str, object]
    signals: Mapping[str, tuple[int, ...]]
    routes: Mapping[str, str]

    def data(self) -> dict[str, object]:
        """One object of JSON."""
        fields: dict[str, object] = {}
        if self.status is not None:
            fields = asdict(self.status)
            output = self.status.output
            fields["output"] = None if output is None else _decode(output)
        return fields | {
            "cursors": {chain: dict(cursor) for chain, cursor in self.cursors.items()},
            "values": dict(self.values),
            "signals": {
                name: list(sequences) for name, sequences in self.signals.items()
            },
            "routes": dict(self.routes),
        }


def snapshot_of(rows: Rows, status: Status | None) -> Snapshot:
    """The snapshot of an instance's rows and status."""
    return Snapshot(
        status=status,
        cursors={
            chain: _fields_of(cursor) for chain, cursor in sorted(get_cursors(rows))
        },
        values={key[1:]: _value(rows, key[1:]) for key in sorted(rows.keys("v"))},
        signals={
            key[1:]: get_buffered(rows, key[1:]) for key in sorted(rows.keys("b"))
        },
        routes={key[1:]: get_text(rows, key) or "" for key in sorted(rows.keys("y"))},
    )


def _fields_of(cursor: Cursor) -> dict[str, object]:
    wait = cursor.wait
    cursor_fields: dict[str, object] = {
        "path": cursor.path,
        "input": cursor.input,
        "waits": type(wait).__name__.lower(),
    }
    for field in fields(wait):
        value = getattr(wait, field.name)
        if value in (None, 0, "", b""):
            continue
        if isinstance(value, bytes):  # hashes of secrets
            cursor_fields[field.name] = value.hex()
        elif field.name == "failure":
            cursor_fields[field.name] = asdict(value)
        else:
            cursor_fields[field.name] = value
    return cursor_fields


def _value(rows: Rows, reference: str) -> object:
    data = get_value(rows, reference)
    return None if data is None else _decode(data)


def _decode(data: bytes) -> object:
    try:
        return decode_payload(data)
    except DecodeError:
        return {"text": data.decode("utf-8", "backslashreplace")}
