"""Requests and replies that are none: each is refused with what was expected."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from sayiir_es.core.model.errors import DecodeError
from sayiir_es.core.status.search import Search
from sayiir_es.wire.requests import (
    REQUEST_BYTES_MAX,
    CountInstances,
    ListInstances,
    Request,
    decode_reply,
    decode_request,
    encode_request,
)
from sayiir_es.wire.searches import group_key, group_parts

HEAD = {"call": 1, "partition": 0, "offset": 0}
SEARCH = {"request": "list", "limit": 1}
_msgpack: Any = msgpack  # ships no hints


@pytest.mark.parametrize(
    "data",
    [
        *(7, [], {}, None, "text"),
        {"reply": "claimed"},
        {**HEAD, "reply": "claimed", "call": []},
        {**HEAD, "reply": "claimed", "call": -1},
        {**HEAD, "reply": "claimed", "partition": "0"},
        {**HEAD, "reply": "claimed", "offset": 1.5},
        {**HEAD, "reply": "unheard of"},
        {**HEAD, "reply": []},
        {**HEAD, "reply": "ended", "status": 7},
        {**HEAD, "reply": "ended", "status": {}},
        {**HEAD, "reply": "decided"},
        {**HEAD, "reply": "listed", "is_last": True, "instances": [7]},
        {**HEAD, "reply": "listed", "is_last": True, "instances": 7},
    ],
)
def test_what_is_no_reply_is_refused(data: object) -> None:
    with pytest.raises(DecodeError, match=r"^expected"):
        decode_reply(_msgpack.packb(data))


@pytest.mark.parametrize(
    "data",
    [
        *(7, [], {}, None, "text"),
        {"request": "unheard of"},
        {"request": "describe"},
        {"request": "describe", "instance_id": 7},
        {"request": "decision", "instance_id": "a", "offset": -1},
        {"request": "decision", "instance_id": "a", "offset": 1, "command_id": 7},
        {**SEARCH},
        {**SEARCH, "search": []},
        {**SEARCH, "search": {"by": "size"}},
        {**SEARCH, "search": {"attributes": ["a"]}},
        {**SEARCH, "search": {"attributes": {"a": 1}}},
        {**SEARCH, "search": {}, "before": [1]},
        {**SEARCH, "search": {}, "limit": None},
        {"request": "count", "search": {}, "by": "size"},
        {"request": "describe.2", "instance_id": "a"},
        {**SEARCH, "search": {"colour": "red"}},
        {**SEARCH, "search": {"waiting_for": "godot"}},
        {**SEARCH, "search": {"waiting_for": 7}},
        {**SEARCH, "search": {"id_prefix": 7}},
    ],
)
def test_what_is_no_request_is_refused(data: object) -> None:
    with pytest.raises(DecodeError, match=r"^expected"):
        decode_request(_msgpack.packb(data))


def test_an_older_owner_refuses_what_it_would_pass_over() -> None:
    """It reads the name of the request, and answers that it knows none such."""
    old, new = Search(workflow="orders"), Search(waiting_for="signal:approval")
    assert name_of(ListInstances(search=old, limit=1)) == "list"
    assert name_of(ListInstances(search=new, limit=1)) == "list.2"
    assert name_of(CountInstances(search=old, by="error_type")) == "count"
    assert name_of(CountInstances(search=old, by="waiting_for")) == "count.2"
    assert name_of(CountInstances(search=new)) == "count.2"


def name_of(request: Request) -> object:
    value = encode_request(request)
    assert decode_request(value) == request
    return _msgpack.unpackb(value)["request"]


def test_a_group_of_several_parts_has_one_key() -> None:
    assert group_key("TimeoutError", None) == '["TimeoutError",null]'
    assert group_parts(group_key("Tür/é", 'a "b"')) == ("Tür/é", 'a "b"')
    for key in ("", "TimeoutError", "7", "{}"):
        with pytest.raises(DecodeError, match="expected the key of a group"):
            group_parts(key)


def test_a_request_has_a_largest_size() -> None:
    request = {"request": "describe", "instance_id": "x" * REQUEST_BYTES_MAX}
    with pytest.raises(DecodeError, match="at most 65536 bytes"):
        decode_request(_msgpack.packb(request))


@pytest.mark.parametrize("value", [b"", b"\xc1", b"{", b"\x81\xa1"])
def test_bytes_that_are_no_messagepack_are_refused(value: bytes) -> None:
    for decode in (decode_request, decode_reply):
        with pytest.raises(DecodeError, match=r"^expected"):
            decode(value)
