"""Commands from anyone: JSON, Avro, ids left out, forwards."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sayiir_es.core.model.commands import (
    Command,
    PauseWorkflow,
    RecordOutcome,
    SendSignal,
    StartWorkflow,
)
from sayiir_es.core.model.errors import DecodeError, EncodeError
from sayiir_es.wire.commands import (
    decode_command,
    encode_command_avro,
    encode_command_json,
    read_origin,
    write_origin,
)
from sayiir_es.wire.payload import encode_payload
from sayiir_es.wire.schema import COMMAND_NAMESPACE, HEAD_BYTES
from tests.wire.examples import (
    COMMAND_SCHEMAS,
    COMMANDS,
)
from tests.wire.oracle import Oracle
from tests.wire.values import JSON_VALUES, PATIENT, WORDS, record_values

CLASSES: dict[str, Any] = {
    type(command).__name__: type(command) for command in COMMANDS
}


def decode(
    value: bytes | None,
    *,
    key: bytes | None = b"order-7",
) -> Command:
    return decode_command(key=key, value=value, partition=3, offset=41)


def as_json(**body: Any) -> bytes:
    return json.dumps(body).encode()


@st.composite
def commands(draw: st.DrawFn, *, json_payloads: bool = False) -> Command:
    name = draw(st.sampled_from(sorted(CLASSES)))
    schema = COMMAND_SCHEMAS[name]
    values = draw(record_values(schema))
    for field in schema.fields:
        if field.name in WORDS:
            values[field.name] = draw(WORDS[field.name])
        if field.name in {"instance_id", "command_id"}:
            values[field.name] = draw(st.text())
        if json_payloads and field.shape in {"bytes", "bytes?"}:
            values[field.name] = encode_payload(draw(JSON_VALUES))
    command: Command = CLASSES[name](**values)
    return command


# --- both forms -----------------------------------------------------------------------


@given(commands(json_payloads=True))
@settings(PATIENT, max_examples=200)
def test_commands_in_avro_come_back_as_they_were(command: Command) -> None:
    assert decode(encode_command_avro(command)) == command


@given(commands(json_payloads=True))
@settings(PATIENT, max_examples=200)
def test_commands_in_json_come_back_as_they_were(command: Command) -> None:
    data = encode_command_json(command)
    assert data.startswith(b"{")
    assert decode(data) == command


@given(commands())
@settings(PATIENT, max_examples=100)
def test_commands_in_avro_are_written_as_fastavro_writes_them(
    command: Command,
) -> None:
    name = type(command).__name__
    oracle = Oracle(f"{COMMAND_NAMESPACE}.{name}")
    values = {f.name: getattr(command, f.name) for f in COMMAND_SCHEMAS[name].fields}
    data = encode_command_avro(command)[HEAD_BYTES:]
    assert data == oracle.write(values)
    assert oracle.read(data) == {
        name: list(cast("tuple[str, ...]", value))
        if isinstance(value, tuple)
        else value
        for name, value in values.items()
    }


def test_the_example_of_the_manual_starts_a_workflow() -> None:
    value = b'{"command":"StartWorkflow","workflow":"orders","input":{"amount":5}}'
    assert decode(value) == StartWorkflow(
        instance_id="order-7",
        command_id="3@41",
        workflow="orders",
        input=b'{"amount":5}',
        attributes={},
    )


def test_a_payload_keeps_its_text_as_it_is() -> None:
    value = (
        '{"command":"SendSignal","signal":"s","payload": {"b" : 1.0, "a":"\\u00e9"}}'
    )
    command = decode(value.encode())
    assert isinstance(command, SendSignal)
    assert command.payload == b'{"b" : 1.0, "a":"\\u00e9"}'


@pytest.mark.parametrize(
    "text",
    [
        "9999999999999999.01",
        "0.1e-400",
        "-0",
        "1.0",
        "1E5",
        '{ "b" :1 ,\n"a":[ 1,2 ] }',
        '"\\u00e9\\/"',
        "12345678901234567890123",
        '"{}[],:"',
        "null",
        "[]",
        '{"":{}}',
    ],
)
def test_every_payload_in_json_is_kept_as_its_text(text: str) -> None:
    head = '{"workflow" : "w", "attributes":{"a":"{"} ,"command":"StartWorkflow"'
    for value in (
        head + ',"input":' + text + "}",
        head + ',\r\n "input" :\t' + text + " }",
        '{"input":' + text + "," + head[1:] + "}",
    ):
        command = decode(value.encode())
        assert isinstance(command, StartWorkflow)
        assert command.input == text.encode()
        assert decode(encode_command_json(command)) == command
        assert decode(encode_command_avro(command)) == command


@pytest.mark.parametrize("fields", [{}, {"input": None}])
def test_a_missing_input_is_json_null(fields: dict[str, None]) -> None:
    command = decode(as_json(command="StartWorkflow", workflow="w", **fields))
    assert isinstance(command, StartWorkflow)
    assert command.input == b"null"


def test_an_output_of_null_is_a_value_and_a_missing_one_is_none() -> None:
    token: dict[str, Any] = {
        "command": "RecordOutcome",
        "run": 1,
        "path": "p",
        "attempt": 1,
        "result": "completed",
    }
    with_null = decode(as_json(**token, output=None))
    without = decode(as_json(**token))
    assert isinstance(with_null, RecordOutcome)
    assert isinstance(without, RecordOutcome)
    assert with_null.output == b"null"
    assert without.output is None
    assert without.retriable


def test_null_says_the_same_as_leaving_an_optional_field_out() -> None:
    command = decode(as_json(command="PauseWorkflow", reason=None, command_id=None))
    assert command == PauseWorkflow(instance_id="order-7", command_id="3@41")


def test_a_payload_that_is_not_json_cannot_be_written_as_json() -> None:
    signal = SendSignal(instance_id="i", command_id="c", signal="s", payload=b"\xff")
    with pytest.raises(EncodeError, match="expected JSON in UTF-8"):
        encode_command_json(signal)


def test_a_text_that_is_not_unicode_cannot_be_written() -> None:
    pause = PauseWorkflow(instance_id="\ud800", command_id="c")
    with pytest.raises(EncodeError, match=r"PauseWorkflow\.instance_id"):
        encode_command_avro(pause)
    with pytest.raises(EncodeError, match=r"surrogate at \$\.instance_id"):
        encode_command_json(pause)


# --- ids ------------------------------------------------------------------------------

AVRO_WITHOUT_IDS = COMMAND_SCHEMAS["StartWorkflow"].head + (
    b"\x00\x00\x02w\x081000\x00\x08fail\x00\x00\x00\x00\x00\x00\x00"
)
JSON_WITHOUT_IDS = b'{"command":"StartWorkflow","workflow":"w","input":0}'
WITHOUT_IDS = [AVRO_WITHOUT_IDS, JSON_WITHOUT_IDS]


@pytest.mark.parametrize("value", WITHOUT_IDS)
def test_ids_that_are_left_out_come_from_the_key_and_the_place(value: bytes) -> None:
    command = decode(value, key="é".encode())
    assert (command.instance_id, command.command_id) == ("é", "3@41")


@pytest.mark.parametrize("key", [None, b""])
@pytest.mark.parametrize("value", WITHOUT_IDS)
def test_a_start_without_id_and_key_takes_an_id_of_its_place(
    value: bytes, key: bytes | None
) -> None:
    command = decode(value, key=key)
    assert (command.instance_id, command.command_id) == ("3@41", "3@41")


@pytest.mark.parametrize("key", [None, b""])
def test_another_command_without_id_and_key_has_an_empty_one(
    key: bytes | None,
) -> None:
    assert decode(as_json(command="CancelWorkflow"), key=key).instance_id == ""


def test_the_body_wins_over_the_key_even_when_the_key_is_not_readable() -> None:
    value = as_json(command="PauseWorkflow", instance_id="b", command_id="mine")
    for key in (b"order-7", b"\xff", None):
        command = decode(value, key=key)
        assert (command.instance_id, command.command_id) == ("b", "mine")


def test_a_key_that_is_needed_and_is_not_utf_8_is_unreadable() -> None:
    with pytest.raises(DecodeError, match="expected a key in UTF-8, but ff"):
        decode(as_json(command="PauseWorkflow"), key=b"\xff")


# --- forwards -------------------------------------------------------------------------


def test_a_forwarded_command_keeps_ids_and_origin() -> None:
    first = decode(JSON_WITHOUT_IDS, key=None)
    headers = write_origin((3, 41))
    assert headers == (("origin", b"3@41"),)
    again = decode_command(
        key=first.instance_id.encode(),
        value=encode_command_avro(first),
        partition=6,
        offset=900,
    )
    assert again == first
    assert read_origin(headers) == (3, 41)


@pytest.mark.parametrize(
    "value", [b"", b"3", b"3@", b"@4", b"-1@4", b"3@4 ", b"03@4", b"3@" + b"9" * 19]
)
def test_an_origin_that_no_owner_writes_is_none(value: bytes) -> None:
    assert read_origin((("origin", value),)) is None
    assert read_origin(()) is None


# --- what other tools write -----------------------------------------------------------


@pytest.mark.parametrize(
    "before", [b" ", b"\r\n\t ", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"]
)
def test_whitespace_and_a_byte_order_mark_before_json_are_read(before: bytes) -> None:
    value = as_json(command="PauseWorkflow")
    assert decode(before + value) == decode(value)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        (b'"order-7"', "StringConverter"),
        (b'""', "bare id"),
        (b"\xef\xbb\xbforder-7", "byte-order mark"),
        ((7).to_bytes(8, "big"), "LongSerializer"),
        ((7).to_bytes(4, "big"), "LongSerializer"),
    ],
)
def test_a_key_that_would_be_a_second_identity_is_refused_with_a_hint(
    key: bytes, hint: str
) -> None:
    with pytest.raises(DecodeError, match=hint):
        decode(as_json(command="PauseWorkflow"), key=key)
    named = decode(as_json(command="PauseWorkflow", instance_id="i"), key=key)
    assert named.instance_id == "i"


def test_an_envelope_of_connect_is_refused_with_what_to_set() -> None:
    inner = {"command": "PauseWorkflow"}
    with pytest.raises(DecodeError, match=r"value\.converter\.schemas\.enable=false"):
        decode(as_json(schema=None, payload=inner))


@pytest.mark.parametrize(
    "value",
    [
        b'{"command":"PauseWorkflow","reason":"a","reason":"b"}',
        b'{"command":"PauseWorkflow","command":"CancelWorkflow"}',
        b'{"command":"StartWorkflow","workflow":"w","input":{"a":1,"a":2}}',
    ],
)
def test_a_key_that_stands_twice_in_json_is_refused(value: bytes) -> None:
    with pytest.raises(DecodeError, match="stands twice"):
        decode(value)


def test_a_payload_in_avro_with_a_key_twice_is_kept_as_it_is() -> None:
    payload = b'{"a":1,"a":2}'
    signal = SendSignal(instance_id="i", command_id="c", signal="s", payload=payload)
    assert decode(encode_command_avro(signal)) == signal
