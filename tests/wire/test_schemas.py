"""The schema files: names, docs, order of fields, and what was published before."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any, get_args

import pytest
from avro.compatibility import (
    ReaderWriterCompatibilityChecker,
    SchemaCompatibilityType,
)
from avro.schema import parse

from sayiir_es.core.model.commands import Command
from sayiir_es.core.model.events import Body
from sayiir_es.core.status.instance_summary import InstanceSummary
from sayiir_es.wire.attempts import AttemptCancelled, PublishedAttempt
from sayiir_es.wire.events import COMMON_FIELDS, decoding_of
from sayiir_es.wire.schema import (
    ATTEMPT_NAMESPACE,
    COMMAND_NAMESPACE,
    EVENT_NAMESPACE,
    SNAPSHOT_NAMESPACE,
    parse_record,
    schema_directory,
)
from tests.wire.examples import avro_json

KINDS: dict[str, type[Any]] = {body.__name__: body for body in get_args(Body)}
COMMANDS: dict[str, type[Any]] = {body.__name__: body for body in get_args(Command)}
FULL_NAMES = [f"{EVENT_NAMESPACE}.{kind}" for kind in KINDS] + [
    f"{COMMAND_NAMESPACE}.{name}" for name in COMMANDS
]
FULL_NAMES.append(f"{SNAPSHOT_NAMESPACE}.InstanceSnapshot")
ATTEMPT_RECORDS: dict[str, type[Any]] = {
    "Attempt": PublishedAttempt,
    "AttemptCancelled": AttemptCancelled,
}
FULL_NAMES.extend(f"{ATTEMPT_NAMESPACE}.{name}" for name in ATTEMPT_RECORDS)

AVRO_OF_HINT = {
    "str": ["string"],
    "int": ["int", "long", "time"],
    "bytes": ["bytes"],
    "bool": ["boolean"],
    "str | None": ["string?"],
    "int | None": ["long?", "time?"],
    "bytes | None": ["bytes?"],
    "tuple[str, ...]": ["[string]"],
    "Mapping[str, str]": ["{string}"],
    "Mapping[str, bytes]": ["{bytes}"],
    "CancelReason": ["string"],
    "LoopMark": ["string"],
    "LoopOutcome": ["string"],
    "CompensationReason": ["string"],
    "ConflictPolicy": ["string"],
    "MessageKind": ["string"],
    "ChildEnd": ["string"],
    "StatusName": ["string"],
}


def shape(avro: Any) -> str:
    match avro:
        case str():
            return avro
        case {"type": "long", "logicalType": "timestamp-millis"}:
            return "time"
        case {"type": "map", "values": "string" | "bytes" as inner}:
            return f"{{{inner}}}"
        case {"type": "array", "items": "string"}:
            return "[string]"
        case ["null", inner]:
            return f"{shape(inner)}?"
        case _:
            raise AssertionError(avro)


def avro_of_hint(hint: str) -> list[str]:
    return ["string"] if hint.startswith("Literal[") else AVRO_OF_HINT[hint]


def test_there_is_one_schema_file_for_each_kind_command_and_snapshot() -> None:
    files = {file.name for file in schema_directory().iterdir() if file.is_file()}
    assert files == {f"{name}.avsc" for name in FULL_NAMES}
    assert len(KINDS) == 72


@pytest.mark.parametrize("full_name", FULL_NAMES)
def test_the_file_is_named_by_the_full_name_of_its_record(full_name: str) -> None:
    schema = avro_json(full_name)
    assert schema["type"] == "record"
    assert f"{schema['namespace']}.{schema['name']}" == full_name


@pytest.mark.parametrize("full_name", FULL_NAMES)
def test_the_record_and_every_field_are_documented(full_name: str) -> None:
    schema = avro_json(full_name)
    assert schema["doc"].endswith(".")
    for field in schema["fields"]:
        assert len(field["doc"]) > 10, field["name"]
        if shape(field["type"]).startswith("time"):
            assert "milliseconds since the Unix epoch, UTC" in field["doc"]
        if field["name"].endswith("_ms"):
            assert "milliseconds" in field["doc"]


@pytest.mark.parametrize("full_name", FULL_NAMES)
def test_times_and_only_times_are_named_at(full_name: str) -> None:
    for field in avro_json(full_name)["fields"]:
        named = field["name"] == "at" or field["name"].endswith("_at")
        is_time = shape(field["type"]).removesuffix("?") == "time"
        assert is_time == (named and field["name"] != "interrupted_at")


@pytest.mark.parametrize("full_name", FULL_NAMES)
def test_what_may_be_null_defaults_to_null(full_name: str) -> None:
    for field in avro_json(full_name)["fields"]:
        if isinstance(field["type"], list):
            assert field.get("default", "missing") is None


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_begins_with_the_six_common_fields(kind: str) -> None:
    begin = avro_json(f"{EVENT_NAMESPACE}.{kind}")["fields"][:6]
    assert [(field["name"], shape(field["type"])) for field in begin] == [
        ("claim", "long"),
        ("instance_id", "string"),
        ("run", "int"),
        ("sequence", "long"),
        ("at", "time"),
        ("cause", "string"),
    ]
    assert tuple(field["name"] for field in begin) == COMMON_FIELDS


@pytest.mark.parametrize("kind", KINDS)
def test_own_fields_are_those_of_the_value_in_its_order(kind: str) -> None:
    own = avro_json(f"{EVENT_NAMESPACE}.{kind}")["fields"][6:]
    expected = fields(KINDS[kind])
    assert [field["name"] for field in own] == [field.name for field in expected]
    for field, avro in zip(expected, own, strict=True):
        assert shape(avro["type"]) in avro_of_hint(str(field.type))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_the_fields_of_its_value_in_order(name: str) -> None:
    own = avro_json(f"{COMMAND_NAMESPACE}.{name}")["fields"]
    expected = fields(COMMANDS[name])
    assert [field["name"] for field in own] == [field.name for field in expected]
    for field, avro in zip(expected, own, strict=True):
        if field.name in {"instance_id", "command_id"}:
            assert shape(avro["type"]) == "string?"
        else:
            assert shape(avro["type"]) in avro_of_hint(str(field.type))


def test_a_snapshot_has_the_fields_of_its_value_in_order() -> None:
    own = avro_json(f"{SNAPSHOT_NAMESPACE}.InstanceSnapshot")["fields"]
    expected = fields(InstanceSummary)
    assert [field["name"] for field in own] == [field.name for field in expected]
    for field, avro in zip(expected, own, strict=True):
        assert shape(avro["type"]) in avro_of_hint(str(field.type))


@pytest.mark.parametrize("name", ATTEMPT_RECORDS)
def test_an_attempt_has_the_fields_and_defaults_of_its_value_in_order(
    name: str,
) -> None:
    full_name = f"{ATTEMPT_NAMESPACE}.{name}"
    own = avro_json(full_name)["fields"]
    expected = fields(ATTEMPT_RECORDS[name])
    assert [field["name"] for field in own] == [field.name for field in expected]
    schema = parse_record(json.dumps(avro_json(full_name)))
    for field, avro in zip(expected, own, strict=True):
        assert shape(avro["type"]) in avro_of_hint(str(field.type))
        if field.default_factory is MISSING:
            assert schema.defaults.get(field.name, MISSING) == field.default


def frozen_versions(full_name: str) -> list[str]:
    directory = schema_directory() / "frozen"
    files = [f for f in directory.iterdir() if f.name.startswith(f"{full_name}.")]
    return [f.read_text(encoding="utf-8") for f in files]


@pytest.mark.parametrize("full_name", FULL_NAMES)
def test_every_schema_reads_and_is_read_by_all_that_were_published(
    full_name: str,
) -> None:
    make_checker: Any = ReaderWriterCompatibilityChecker  # avro has half its hints
    newest = parse(json.dumps(avro_json(full_name)))
    versions = frozen_versions(full_name)
    assert versions, f"freeze the first version of {full_name}"
    for text in versions:
        version = parse(text)
        for reader, writer in ((newest, version), (version, newest)):
            checker = make_checker()
            result = checker.get_compatibility(reader, writer)
            assert result.compatibility is SchemaCompatibilityType.compatible, (
                result.messages
            )


@pytest.mark.parametrize("full_name", FULL_NAMES)
def test_what_is_written_today_is_a_published_version(full_name: str) -> None:
    heads = {parse_record(text).head for text in frozen_versions(full_name)}
    assert parse_record(json.dumps(avro_json(full_name))).head in heads


def test_nothing_is_frozen_that_has_no_schema() -> None:
    names = {f.name for f in (schema_directory() / "frozen").iterdir()}
    assert {name.rsplit(".", 2)[0] for name in names} == set(FULL_NAMES)


def test_a_field_added_without_a_default_is_refused_when_loaded() -> None:
    newest = parse_record(json.dumps(avro_json(f"{EVENT_NAMESPACE}.DelayElapsed")))
    older = avro_json(f"{EVENT_NAMESPACE}.DelayElapsed")
    del older["fields"][-1]
    with pytest.raises(KeyError, match="path"):
        decoding_of(parse_record(json.dumps(older)), newest)
