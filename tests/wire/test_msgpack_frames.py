"""Frames on a stream: whole however they come, and bounded."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayiir_es.wire.msgpack_frames import (
    FrameBuffer,
    FrameError,
    decode_content,
    encode_frame,
)


@given(st.lists(st.lists(st.binary(max_size=9), max_size=3)), st.data())
def test_frames_come_as_they_were_sent_in_any_pieces(
    sent: list[list[bytes]], data: st.DataObject
) -> None:
    stream = b"".join(map(encode_frame, sent))
    buffer, received = FrameBuffer(), list[object]()
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        piece, stream = stream[:size], stream[size:]
        received += map(decode_content, buffer.add(piece))
    assert received == [tuple(fields) for fields in sent]


def test_a_frame_has_at_most_so_many_bytes_without_its_length() -> None:
    frame = encode_frame([b"12345678"])
    size = len(frame) - 4
    assert list(FrameBuffer(size).add(frame)) == [frame[4:]]
    with pytest.raises(FrameError, match=f"at most {size - 1} bytes, but of {size}"):
        list(FrameBuffer(size - 1).add(frame[:4]))


@given(st.binary(max_size=200))
def test_any_bytes_are_msgpack_or_an_error(content: bytes) -> None:
    with contextlib.suppress(FrameError):
        decode_content(content)


def test_text_that_is_no_unicode_passes_where_it_is_asked_for() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode_frame(["\udc80"])
    content = encode_frame(["\udc80"], unicode_errors="surrogatepass")[4:]
    assert decode_content(content, unicode_errors="surrogatepass") == ("\udc80",)
    with pytest.raises(FrameError):
        decode_content(content)
