"""`sayiir-es schema`: the published schemas, and whether they stay compatible."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from avro.compatibility import (
    ReaderWriterCompatibilityChecker,
    SchemaCompatibilityType,
)
from avro.schema import parse

from sayiir_es.operations.schema_check import unreadable, versions_in
from sayiir_es.wire.schema import schema_directory

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal

NAME = "io.sayiir.event.v1.DelayElapsed"
TYPES: list[Any] = [
    *("int", "long", "string", "bytes", "boolean"),
    *(["null", "int"], ["null", "long"], ["null", "string"], ["null", "bytes"]),
    {"type": "long", "logicalType": "timestamp-millis"},
    {"type": "map", "values": "string"},
    {"type": "array", "items": "string"},
]


def record(avro: Any, default: Any = None) -> dict[str, Any]:
    """A flat record with one field; the default counts where it is not None."""
    field = {"name": "x", "type": avro}
    if default is not None:
        field["default"] = default
    return {
        "type": "record",
        "namespace": "io.sayiir.event.v1",
        "name": "DelayElapsed",
        "fields": [field],
    }


@pytest.fixture
def schemas(tmp_path: Path) -> Path:
    """A copy of the published schemas, to be changed."""
    directory = tmp_path / "schemas"
    shutil.copytree(Path(str(schema_directory())), directory)
    return directory


def add_field(schemas: Path, **field: Any) -> None:
    """Add a field to the event that tests change."""
    file = schemas / f"{NAME}.avsc"
    changed = json.loads(file.read_text())
    changed["fields"].append(field)
    file.write_text(json.dumps(changed))


def problems_of(terminal: Terminal, schemas: Path) -> tuple[int, str]:
    """How a check ends, and what it says of that event."""
    result = terminal(f"schema check --directory {schemas} -o jsonl")
    [records] = [row for row in result.rows() if row["schema"] == NAME]
    return result.code, str(records["problems"])


def test_every_record_is_listed_with_its_fingerprint(terminal: Terminal) -> None:
    rows = terminal("schema list -o jsonl").rows()
    assert {row["kind"] for row in rows} == {"event", "command", "snapshot", "attempt"}
    [started] = [row for row in rows if row["name"] == "WorkflowStarted"]
    assert started["schema"] == "io.sayiir.event.v1.WorkflowStarted"
    assert len(str(started["fingerprint"])) == 16
    assert "attributes" in str(started["fields"])


def test_the_schemas_of_this_build_read_all_that_was_published(
    terminal: Terminal,
) -> None:
    result = terminal("schema check")
    assert (result.code, result.out) == (0, "")
    assert "each reads each" in result.err


def test_a_new_optional_field_that_is_frozen_passes(
    terminal: Terminal, schemas: Path
) -> None:
    add_field(schemas, name="why", type=["null", "string"], default=None)
    code, problems = problems_of(terminal, schemas)
    assert code == 1
    assert "freeze it" in problems
    shutil.copy(schemas / f"{NAME}.avsc", schemas / "frozen" / f"{NAME}.2.avsc")
    assert problems_of(terminal, schemas) == (0, "[]")


def test_a_new_field_without_a_default_is_found_out(
    terminal: Terminal, schemas: Path
) -> None:
    add_field(schemas, name="why", type="string")
    shutil.copy(schemas / f"{NAME}.avsc", schemas / "frozen" / f"{NAME}.2.avsc")
    code, problems = problems_of(terminal, schemas)
    assert code == 1
    assert "today's cannot read: 'why' has no default" in problems
    assert "version 1" in problems
    text = terminal(f"schema check --directory {schemas}").out
    assert "✗" in text
    assert NAME in text


def test_each_version_is_held_against_each_not_only_the_last(
    terminal: Terminal, schemas: Path
) -> None:
    changed = json.loads((schemas / f"{NAME}.avsc").read_text())
    changed["fields"].append({"name": "x", "type": ["null", "long"], "default": None})
    (schemas / "frozen" / f"{NAME}.2.avsc").write_text(json.dumps(changed))
    changed["fields"][-1]["type"] = ["null", "string"]
    (schemas / "frozen" / f"{NAME}.10.avsc").write_text(json.dumps(changed))
    code, problems = problems_of(terminal, schemas)
    assert code == 1
    assert (
        "version 2 cannot read: 'x' is long?, but version 10 wrote string?" in problems
    )


def test_a_record_that_is_gone_is_found_out(terminal: Terminal, schemas: Path) -> None:
    (schemas / f"{NAME}.avsc").unlink()
    code, problems = problems_of(terminal, schemas)
    assert code == 1
    assert "no longer there" in problems


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("other.avsc", json.dumps(record("long"))),
        (f"{NAME}.avsc", "no json"),
        (f"{NAME}.avsc", "[]"),
        (f"{NAME}.avsc", '{"namespace": "a", "name": "b"}'),
        (f"{NAME}.avsc", json.dumps(record({"type": "enum", "symbols": []}))),
    ],
)
def test_a_file_that_is_no_schema_of_ours_exits_with_two(
    terminal: Terminal, schemas: Path, name: str, text: str
) -> None:
    (schemas / name).write_text(text)
    result = terminal(f"schema check --directory {schemas}")
    assert result.code == 2
    assert name in result.err


def test_a_directory_without_schemas_exits_with_two(terminal: Terminal) -> None:
    assert terminal("schema check --directory .").code == 2
    (terminal.cwd / "frozen").mkdir()
    assert terminal("schema list --directory .").code == 2


@pytest.mark.parametrize("writer", TYPES, ids=str)
@pytest.mark.parametrize("reader", TYPES, ids=str)
def test_types_resolve_as_avro_itself_says(
    tmp_path: Path, reader: Any, writer: Any
) -> None:
    (tmp_path / "frozen").mkdir()
    (tmp_path / "frozen" / f"{NAME}.1.avsc").write_text(json.dumps(record(writer)))
    (tmp_path / f"{NAME}.avsc").write_text(json.dumps(record(reader)))
    before, today = versions_in(tmp_path)[NAME]
    make_checker: Any = ReaderWriterCompatibilityChecker  # avro has half its hints
    judged = make_checker().get_compatibility(
        parse(json.dumps(record(reader))), parse(json.dumps(record(writer)))
    )
    readable = judged.compatibility is SchemaCompatibilityType.compatible
    assert (not list(unreadable(today, before))) == readable
