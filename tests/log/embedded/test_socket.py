"""The socket beside a log's file: bad bytes, long paths, slow peers, forks, threads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayiir_es.log.embedded import peer, socket_frames
from sayiir_es.log.embedded.lock import OwnerLock
from sayiir_es.log.embedded.log import EmbeddedLog
from sayiir_es.log.embedded.socket_frames import Kind
from sayiir_es.log.embedded.socket_path import ADDRESS_BYTES_MAX, SocketPlace
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.msgpack_frames import FrameBuffer, FrameError
from tests.log.log_process import LIMIT_S, LogProcess

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
_msgpack: Any = msgpack


@pytest.fixture
async def owned_log(tmp_path: Path) -> AsyncGenerator[EmbeddedLog]:
    """A log that this process owns."""
    log, lock = EmbeddedLog(tmp_path / "log.db"), OwnerLock(tmp_path / "log.db")
    await log.open(create=True)
    assert lock.try_acquire()
    yield log
    lock.release()
    await log.close()


def framed(*fields: object) -> bytes:
    content: bytes = _msgpack.packb(fields)
    return struct.pack(">I", len(content)) + content


HELLO = socket_frames.hello()

BAD = {
    "no hello": socket_frames.subscribed(1),
    "another version": framed(0, 99),
    "a frame too large": HELLO + struct.pack(">I", socket_frames.FRAME_BYTES_MAX + 1),
    "an empty frame": HELLO + struct.pack(">I", 0),
    "no msgpack": HELLO + struct.pack(">I", 1) + b"\xc1",
    "no array": HELLO + struct.pack(">I", 1) + b"\x05",
    "an unknown kind": HELLO + framed(77),
    "an unknown topic": HELLO + framed(5, "nowhere", 0),
    "a partition below 0": HELLO + framed(5, "events", -1),
    "a huge partition": HELLO + framed(5, "events", 1 << 40),
    "a text for a key": HELLO + framed(1, "requests", 0, "k", b"v", ()),
    "a field too few": HELLO + framed(1, "requests", 0, b"k", b"v"),
    "a field too many": HELLO + framed(5, "events", 0, 0),
    "a bad header": HELLO + framed(1, "requests", 0, b"k", b"v", [["a", "b"]]),
    "a lone header": HELLO + framed(1, "requests", 0, b"k", b"v", [["a"]]),
}


@pytest.mark.parametrize("what", BAD)
async def test_bad_bytes_end_their_connection_and_no_other(
    owned_log: EmbeddedLog, what: str
) -> None:
    client = await LogProcess.start(owned_log.path)
    await client.do("subscribe", topic="replies", partition=0)
    reader, writer = await asyncio.open_unix_connection(
        SocketPlace(owned_log.path).path
    )
    writer.write(BAD[what])
    async with asyncio.timeout(LIMIT_S):
        assert await reader.read() == HELLO  # the owner's, and then the end
    writer.close()
    owned_log.request_topics.post(
        Topic.REPLIES, 0, NewRecord(key=None, value=b"still here")
    )
    (reply,) = await client.do("read", subscription=0)
    assert bytes.fromhex(reply["value"]) == b"still here"
    await client.kill()


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_an_error(received: bytes) -> None:
    with contextlib.suppress(FrameError):
        for content in FrameBuffer(socket_frames.FRAME_BYTES_MAX).add(received):
            socket_frames.decode(content)


@given(st.lists(st.integers(1, 9), min_size=1))
def test_frames_in_pieces_are_read_whole(sizes: list[int]) -> None:
    record = NewRecord(key=b"k", value=b"v" * 30, headers=(("h", b"1"),))
    to = (Topic.REQUESTS, 3)
    post = socket_frames.post(to, record)
    assert post is not None
    sent = HELLO + post + socket_frames.of_partition(Kind.COMMITTED, to)
    buffer, frames = FrameBuffer(), list[socket_frames.Frame]()
    while sent:
        for size in sizes:
            frames += map(socket_frames.decode, buffer.add(sent[:size]))
            sent = sent[size:]
    assert [frame.kind for frame in frames] == [Kind.HELLO, Kind.POST, Kind.COMMITTED]
    assert frames[1].record == record
    assert frames[2].topic_partition == to


def test_a_message_above_the_limit_has_no_frame() -> None:
    too_large = NewRecord(key=None, value=bytes(socket_frames.FRAME_BYTES_MAX))
    assert socket_frames.post((Topic.REPLIES, 0), too_large) is None


@pytest.mark.parametrize(
    ("folder", "name"),
    [("f" * 150, "log.db"), ("f", "n" * 200 + ".db"), ("f" * 150, "n" * 200 + ".db")],
)
async def test_a_path_longer_than_an_address_works(
    tmp_path: Path, folder: str, name: str
) -> None:
    path = tmp_path / folder / name
    assert len(os.fsencode(path)) > ADDRESS_BYTES_MAX
    log, lock = EmbeddedLog(path), OwnerLock(path)
    await log.open(create=True)
    assert lock.try_acquire()
    client = await LogProcess.start(path)
    await client.do("subscribe", topic="replies", partition=0)
    log.request_topics.post(Topic.REPLIES, 0, NewRecord(key=None, value=b"a"))
    assert len(await client.do("read", subscription=0)) == 1
    await client.kill()
    lock.release()
    assert not SocketPlace(path).path.exists()
    await log.close()


async def test_a_peer_that_does_not_read_is_disconnected_and_comes_back(
    owned_log: EmbeddedLog,
) -> None:
    client = await LogProcess.start(owned_log.path)
    await client.do("subscribe", topic="replies", partition=0)
    client.process.send_signal(signal.SIGSTOP)
    large = NewRecord(key=None, value=bytes(1 << 20))
    for _ in range(2 * peer.UNSENT_BYTES_MAX // (1 << 20)):
        owned_log.request_topics.post(Topic.REPLIES, 0, large)
    client.process.send_signal(signal.SIGCONT)
    await client.do("subscribe", topic="replies", partition=1)
    small = NewRecord(key=None, value=b"small")
    reading = client.tell("read", subscription=1)
    async with asyncio.timeout(LIMIT_S):
        # On a busy machine the subscription may not wait until the owner knows of it.
        while not reading.done():
            owned_log.request_topics.post(Topic.REPLIES, 1, small)
            await asyncio.wait((reading,), timeout=0.1)
    replies = await reading
    assert {bytes.fromhex(reply["value"]) for reply in replies} == {b"small"}
    await client.kill()


async def test_a_forked_child_keeps_nothing_of_its_parent_alive(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    read_end, write_end = os.pipe()
    parent = os.fork()
    if parent == 0:  # it owns the log, and forks
        lock = OwnerLock(path)
        lock.try_acquire()
        child = os.fork()
        if child == 0:
            os.write(write_end, b"%d\n" % os.getpid())
            signal.pause()
        signal.pause()
    with os.fdopen(read_end) as lines:
        child = int(await asyncio.to_thread(lines.readline))
    os.close(write_end)
    try:
        waiting = OwnerLock(path)
        assert not waiting.try_acquire()
        acquiring = asyncio.create_task(waiting.acquire())
        await asyncio.sleep(0)
        os.kill(parent, signal.SIGKILL)
        await asyncio.to_thread(os.waitpid, parent, 0)
        async with asyncio.timeout(LIMIT_S):
            await acquiring
        waiting.release()
    finally:
        os.kill(child, signal.SIGKILL)


def test_loops_of_several_threads_pass_messages(tmp_path: Path) -> None:
    path, results = tmp_path / "log.db", list[bytes | None]()
    subscribed = threading.Event()

    async def listen() -> None:
        log = EmbeddedLog(path)
        await log.open(create=True)
        subscription = await log.request_topics.subscribe(Topic.REQUESTS, 0)
        subscribed.set()
        async with asyncio.timeout(LIMIT_S):
            results.extend(record.value for record in await subscription.read())
        await log.close()

    async def post() -> None:
        log = EmbeddedLog(path)
        await log.open(create=True)
        log.request_topics.post(Topic.REQUESTS, 0, NewRecord(key=None, value=b"a"))
        await log.close()

    listening = threading.Thread(target=lambda: asyncio.run(listen()))
    listening.start()
    assert subscribed.wait(LIMIT_S)
    asyncio.run(post())
    listening.join()
    assert results == [b"a"]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_what_is_closed_leaves_no_thread_and_no_descriptor(
    tmp_path: Path,
) -> None:
    async def use(path: Path) -> None:
        log, lock = EmbeddedLog(path), OwnerLock(path)
        await log.open(create=True)
        assert lock.try_acquire()
        lock.release()
        await log.close()

    others = set(threading.enumerate())  # of backends that other tests left open

    def sockets() -> set[threading.Thread]:
        mine = set(threading.enumerate()) - others
        return {thread for thread in mine if "socket" in thread.name}

    async def until_ended() -> None:
        for thread in sockets():
            await asyncio.to_thread(thread.join, LIMIT_S)
        assert not sockets()

    await use(tmp_path / "log.db")
    await until_ended()
    before = len(names(Path("/proc/self/fd")))
    for _ in range(10):
        await use(tmp_path / "log.db")
        await until_ended()
    assert len(names(Path("/proc/self/fd"))) <= before
    assert "log.db.sock" not in names(tmp_path)


def test_a_stale_file_at_the_sockets_place_is_no_owner(tmp_path: Path) -> None:
    place = SocketPlace(tmp_path / "log.db")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(place.path))
    stale.close()
    assert place.connect() == (None, False)
    listener = place.listen()
    connection, _ = place.connect()
    assert connection is not None
    connection.close()
    listener.close()


async def test_without_an_owner_and_a_subscriber_a_message_is_lost(
    tmp_path: Path,
) -> None:
    log = EmbeddedLog(tmp_path / "log.db")
    await log.open(create=True)
    lost = NewRecord(key=None, value=b"a")
    assert not log.request_topics.post(Topic.REQUESTS, 0, lost)
    await log.close()


async def test_what_a_new_owner_says_at_once_comes_to_clients_on_their_way(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    client = await LogProcess.start(path)
    await client.do("subscribe", topic="replies", partition=0)
    log, lock = EmbeddedLog(path), OwnerLock(path)
    await log.open(create=True)
    for number in range(20):
        assert lock.try_acquire()
        # No client can have connected to this owner yet.
        value = b"claimed %d" % number
        log.request_topics.post(Topic.REPLIES, 0, NewRecord(key=None, value=value))
        values = [m["value"] for m in await client.do("read", subscription=0)]
        assert bytes.fromhex(values[-1]) == value
        lock.release()
    await client.kill()
    await log.close()
