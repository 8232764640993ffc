"""What a process says is read strictly: its task may write to any descriptor."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayiir_es.engine.attempts.processes.messages import (
    Ended,
    Failed,
    Logged,
    Ready,
    frame_of,
    message_of,
    messages_in,
)
from sayiir_es.wire.msgpack_frames import FrameBuffer, FrameError

if TYPE_CHECKING:
    from collections.abc import Callable

_msgpack: Any = msgpack  # ships no hints
_pack: Callable[..., bytes] = _msgpack.packb

ENDED = Ended(
    number=7,
    result="failed",
    output=None,
    loop="none",
    error_type="ValueError",
    error="no \udc80",
    retriable=True,
    error_class="builtins.ValueError",
    source_line="",
    causes=("a", "b"),
    traceback="",
    error_bases=("builtins.Exception",),
    threads=2,
)
LOGGED = Logged(
    logger="shop",
    level=30,
    message={"event": "x"},
    method="warning",
    created_s=1.5,
    file="shop.py",
    line=3,
    function="f",
    thread="MainThread",
    data={"order": 7},
    variables={},
)


@given(
    st.lists(st.sampled_from([ENDED, LOGGED, Ready(), Failed(reason="")])), st.data()
)
def test_messages_come_as_they_were_sent(
    sent: list[Ended], data: st.DataObject
) -> None:
    stream = b"".join(map(frame_of, sent))
    buffer = FrameBuffer()
    received: list[object] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        piece, stream = stream[:size], stream[size:]
        received += list(messages_in(buffer, piece))
    assert received == sent


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_an_error(data: bytes) -> None:
    with contextlib.suppress(FrameError):
        message_of(data)


@pytest.mark.parametrize("number", range(13))
def test_a_wrong_type_is_an_error_whatever_the_field(number: int) -> None:
    values = [9, *(getattr(ENDED, name) for name in Ended.__dataclass_fields__)]
    values[number + 1] = {"a": 1}
    content = _pack(values, unicode_errors="surrogatepass")
    with pytest.raises(FrameError, match="expected another type of Ended"):
        message_of(content)


@pytest.mark.parametrize(
    "values", [5, [], ["x"], [99], [-1], [8], [8, 1], [7, 1], [9, *range(12)]]
)
def test_no_message_is_an_error(values: object) -> None:
    with pytest.raises(FrameError):
        message_of(_pack(values))


def test_a_frame_that_is_too_large_is_an_error() -> None:
    buffer = FrameBuffer(bytes_max=10)
    with pytest.raises(FrameError, match="at most 10 bytes"):
        list(messages_in(buffer, frame_of(ENDED)))
