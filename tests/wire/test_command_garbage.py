"""Bytes on the commands topic that are no command: typed errors of bounded length."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sayiir_es.core.model.commands import RecordOutcome, SendSignal, StartWorkflow
from sayiir_es.wire.commands import (
    decode_command,
    encode_command_avro,
    encode_command_json,
)
from sayiir_es.wire.errors import UnreadableError
from sayiir_es.wire.payload import decode_payload, encode_payload
from tests.wire.examples import COMMAND_SCHEMAS, COMMANDS, EVENTS, golden_bytes
from tests.wire.values import JSON_VALUES, PATIENT

if TYPE_CHECKING:
    from sayiir_es.core.model.commands import Command

START_HEAD = COMMAND_SCHEMAS["StartWorkflow"].head
START = START_HEAD + b"\x00\x00\x02w\x081000\x00\x08fail\x00\x00\x00\x00\x00\x00\x00"
START_COMMAND = next(c for c in COMMANDS if isinstance(c, StartWorkflow))
SIGNAL = next(c for c in COMMANDS if isinstance(c, SendSignal))
OUTCOME = next(c for c in COMMANDS if isinstance(c, RecordOutcome))


def decode(value: bytes | None) -> Command | UnreadableError:
    """Return the command, or the only error that is allowed, of bounded length."""
    try:
        return decode_command(key=b"order-7", value=value, partition=3, offset=41)
    except UnreadableError as error:
        unreadable = error
    assert str(unreadable).startswith("expected ")
    assert len(str(unreadable)) < 500
    assert unreadable.reason.replace("_", "").isalpha()
    return unreadable


def reason_of(value: bytes | None) -> str:
    error = decode(value)
    assert isinstance(error, UnreadableError)
    return error.reason


def as_json(**body: Any) -> bytes:
    return json.dumps(body).encode()


TEN_KINDS_OF_GARBAGE: list[tuple[str, bytes | None, str]] = [
    ("empty", b"", "empty"),
    ("null", None, "null"),
    ("one byte", b"\xc3", "truncated"),
    ("bad magic", b"\xc3\x02" + b"0" * 30, "bad_magic"),
    ("unknown fingerprint", b"\xc3\x01" + b"0" * 30, "unknown_schema"),
    ("truncated Avro", START[:-3], "truncated"),
    ("JSON that is no object", b'["StartWorkflow"]', "bad_magic"),
    ("unknown command", b'{"command":"DropTables"}', "unknown_command"),
    ("1 GB length", START_HEAD + b"\x02\x80\x80\x80\x80\x08abc", "truncated"),
    ("wrong type", b'{"command":"StartWorkflow","workflow":5}', "wrong_type"),
]


@pytest.mark.parametrize(
    ("value", "reason"),
    [case[1:] for case in TEN_KINDS_OF_GARBAGE],
    ids=[case[0] for case in TEN_KINDS_OF_GARBAGE],
)
def test_the_ten_kinds_of_garbage_are_unreadable(
    value: bytes | None, reason: str
) -> None:
    assert reason_of(value) == reason


def start(**fields: Any) -> bytes:
    return as_json(command="StartWorkflow", **{"workflow": "w", **fields})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "bad_json"),
        (b" {}", "unknown_command"),
        (b"\x00\x00\x00\x00\x01abc", "bad_magic"),
        (b"{}", "unknown_command"),
        (b'{"command":null}', "unknown_command"),
        (b'{"command":["StartWorkflow"]}', "unknown_command"),
        (as_json(command="x" * 1_000_000), "unknown_command"),
        (as_json(command="StartWorkflow"), "missing_field"),
        (as_json(command="SendSignal", signal="s"), "missing_field"),
        (start(color="red"), "unknown_field"),
        (start(**{"k" * 1_000_000: 1}), "unknown_field"),
        (start(conflict_policy="replace"), "unknown_word"),
        (start(conflict_policy="é" * 1_000_000), "unknown_word"),
        (start(conflict_policy=None), "wrong_type"),
        (start(workflow={"a": "b" * 1_000_000}), "wrong_type"),
        (start(workflow="\ud800"), "wrong_type"),
        (start(instance_id=7), "wrong_type"),
        (start(command_id=[]), "wrong_type"),
        (start(attributes={"a": 1}), "wrong_type"),
        (start(attributes=[["a", "b"]]), "wrong_type"),
        (start(attributes={"\udfff": "b"}), "wrong_type"),
        (start(input=["\ud800"]), "bad_payload"),
        (start(input={"k" * 1_000_000: "\ud800"}), "bad_payload"),
        (start()[:-1] + b',"input":NaN}', "bad_json"),
        (start()[:-1] + b',"input":[-Infinity]}', "bad_json"),
        (start()[:-1] + b',"input":1e999}', "bad_payload"),
        (start()[:-1] + b',"input":' + b"9" * 5000 + b"}", "bad_json"),
        (start()[:-1] + b',"input":' + b"[" * 100_000, "too_deep"),
        (start()[:-1] + b',"input":"\xff"}', "bad_text"),
        (start().decode().encode("utf-16-le"), "bad_json"),
        (START + b"\x00", "trailing_bytes"),
        (START_HEAD + b"\x04", "bad_branch"),
        (START_HEAD + b"\x02\x03", "bad_length"),
        (START_HEAD + b"\x02\x02\xff", "bad_text"),
        (START_HEAD + b"\xff" * 100, "bad_branch"),
        (START.replace(b"fail", b"flip"), "unknown_word"),
    ],
)
def test_garbage_is_unreadable_for_a_stable_reason(value: bytes, reason: str) -> None:
    assert reason_of(value) == reason


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"0000",
        b'"\xff"',
        b"NaN",
        b"1e999",
        b'"\\ud800"',
        b'{"\\udfff":1}',
        b"[" * 100_000,
        b"[" * 201 + b"]" * 201,
        b'{"a":[' * 101 + b"]}" * 101,
        b"9" * 5000,
    ],
    ids=lambda payload: payload[:12],
)
def test_a_payload_in_avro_is_held_to_what_json_can_bring(payload: bytes) -> None:
    for command in (
        replace(START_COMMAND, input=payload),
        replace(SIGNAL, payload=payload),
        replace(OUTCOME, output=payload),
    ):
        assert reason_of(encode_command_avro(command)) == "bad_payload"


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 200 + b"]" * 200,
        b'"' + b"[" * 300 + b'\\"' + b"{" * 300 + b'"',
        b"[" + b"[]," * 300 + b"{}]",
        b' {"a" : 1}\n',
    ],
    ids=lambda payload: payload[:12],
)
def test_a_payload_in_avro_is_kept_as_it_is(payload: bytes) -> None:
    command = replace(START_COMMAND, input=payload)
    assert decode(encode_command_avro(command)) == command


def test_json_that_is_nested_beyond_the_limit_is_unreadable() -> None:
    deep = b'{"command":"StartWorkflow","workflow":"w","input":%s}'
    assert reason_of(deep % (b"[" * 201 + b"]" * 201)) == "too_deep"
    fits = decode(deep % (b"[" * 200 + b"]" * 200))
    assert not isinstance(fits, UnreadableError)


def outcome(**fields: Any) -> bytes:
    token = {"run": 1, "path": "p", "attempt": 1, "result": "completed"}
    return as_json(command="RecordOutcome", **{**token, **fields})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (outcome(run=2**31), "wrong_type"),
        (outcome(run=-(2**31) - 1), "wrong_type"),
        (outcome(run=10**4000), "wrong_type"),
        (outcome(run=True), "wrong_type"),
        (outcome(run=1.0), "wrong_type"),
        (outcome(retriable=1), "wrong_type"),
        (outcome(result="done"), "unknown_word"),
        (outcome(loop=""), "unknown_word"),
    ],
)
def test_numbers_flags_and_words_of_an_outcome_are_checked(
    value: bytes, reason: str
) -> None:
    assert reason_of(value) == reason


def test_an_event_on_the_commands_topic_is_unreadable() -> None:
    golden = golden_bytes()[f"io.sayiir.event.v1.{EVENTS[0].kind}"]["populated"]
    assert reason_of(bytes.fromhex(golden)) == "unknown_schema"


@pytest.mark.parametrize(
    "command", COMMANDS, ids=lambda command: type(command).__name__
)
def test_a_command_cut_at_any_place_is_unreadable(command: Command) -> None:
    for data in (encode_command_avro(command), encode_command_json(command)):
        for length in range(len(data)):
            assert reason_of(data[:length])
    assert reason_of(encode_command_avro(command) + b"\x00")
    assert reason_of(encode_command_json(command) + b"}")


@pytest.mark.parametrize(
    "command", COMMANDS, ids=lambda command: type(command).__name__
)
def test_a_damaged_command_is_another_command_or_unreadable(command: Command) -> None:
    for data in (encode_command_avro(command), encode_command_json(command)):
        for place in range(len(data)):
            for byte in (0x00, 0x22, 0x80, 0xFF, data[place] ^ 0x01):
                damaged = data[:place] + bytes((byte,)) + data[place + 1 :]
                command_or_error = decode(damaged)
                if not isinstance(command_or_error, UnreadableError):
                    assert (
                        decode(encode_command_avro(command_or_error))
                        == command_or_error
                    )


@given(st.binary(max_size=100), st.sampled_from(sorted(COMMAND_SCHEMAS)))
@settings(PATIENT)
def test_noise_after_a_good_head_is_a_command_or_unreadable(
    noise: bytes, name: str
) -> None:
    decode(COMMAND_SCHEMAS[name].head + noise)


@given(
    st.dictionaries(st.text(), JSON_VALUES), st.sampled_from(sorted(COMMAND_SCHEMAS))
)
@settings(PATIENT)
def test_any_json_object_is_a_command_or_unreadable(
    body: dict[str, Any], name: str
) -> None:
    command_or_error = decode(encode_payload({**body, "command": name}))
    if not isinstance(command_or_error, UnreadableError):
        assert decode_payload(encode_command_json(command_or_error))
