"""Decoders of bytes on disk: rows and keys of a store, rows of a log's file."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from sayiir_es.core.model.commands import ForkWorkflow
from sayiir_es.core.model.errors import DamagedLogError, StoreError
from sayiir_es.core.model.position import CommandPosition, DeferredCommand, Position
from sayiir_es.core.model.rows import Cursor, Ending, Header, Request, Row, Run
from sayiir_es.core.model.waits import (
    Awaiting,
    Branching,
    Broken,
    Ended,
    Failure,
    Listening,
    Looping,
    Sleeping,
)
from sayiir_es.engine.store.port import StoreIdentity
from sayiir_es.engine.store.rocks import keys
from sayiir_es.engine.store.rocks.codec import (
    decode_position,
    decode_row,
    encode_position,
    encode_row,
)
from sayiir_es.log.embedded.checksum import StoredPartition
from sayiir_es.log.embedded.rows import read_from
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.operations.dead_letters import (
    all_dead_letters,
    get_dead_letter,
    original,
)
from tests.fuzz.decoders import Decoder, headers_of

IDENTITY = StoreIdentity(
    cluster_id="c", events_topic_id="té", partition=3, partitions=8
)

_FAILURE = Failure(error_type="ValueError", error="ValueError: nö", timed_out=True)
_ROWS: tuple[Row, ...] = (
    Header(
        run=2,
        sequence=65,
        at=1_700_000_000_000,
        phase="paused",
        cancel=Request(reason="late", requested_by="ana"),
        buffered=3,
    ),
    Run(
        workflow="orders",
        definition_hash="ab" * 32,
        graph_digest="cd" * 32,
        attributes={"customer": "ana", "land": "é"},
        started_at=1_700_000_000_000,
    ),
    *(
        Cursor(path="eu||us/eu/charge#2", input="start", wait=wait)
        for wait in (
            Awaiting(attempt=3, due=64, deadline_at=2**41, failure=_FAILURE),
            Sleeping(due_at=2**41),
            Listening(signal="approval", until_at=None, since=7),
            Ended(result="result:charge"),
            Broken(failure=_FAILURE),
            Branching(left=2),
            Looping(iteration=4),
        )
    ),
    Ending(path="charge", error_type="E", error="no", interrupted_at=("a", "b")),
    b'{"amount":5}',
    (1, 2, 300),
    2**40,
    "result:charge",
)


def _row(data: bytes) -> None:
    row = decode_row(data)
    assert decode_row(encode_row(row)) == row


def _position(data: bytes) -> None:
    position = decode_position(data)
    assert decode_position(encode_position(*position)) == position


_POSITION = encode_position(
    IDENTITY,
    Position(
        offset=2**40,
        claim=7,
        owner="w1",
        next_command=3,
        origins={7: 8, 0: 1},
        deferred={
            2: DeferredCommand(
                position=CommandPosition(partition=0, offset=2, origin=(7, 8)),
                command=ForkWorkflow(
                    instance_id="a",
                    command_id="c",
                    source_instance_id="é",
                    source_sequence=2**40,
                ),
            )
        },
    ),
)

_IDS = ("order-7é", "a\x00b\x01", "")
_KEYS = (
    *(keys.ROW + keys.of_instance(name) + b"ceu||us/eu" for name in _IDS),
    *(keys.timer(2**41, keys.of_instance(name), "x") for name in _IDS),
)


def _key(data: bytes) -> None:
    if data[:1] == keys.TIMER:
        keys.split_timer(data)
    else:
        keys.split(data)


# --- the file of an embedded log ------------------------------------------------------

_STORED = StoredPartition(
    path=Path("log.db"), topic=Topic.EVENTS, partition=0, unchecked_end=1
)
_connection = sqlite3.connect(":memory:")
_connection.execute(
    "CREATE TABLE records (topic, partition, offset, key, value, headers, timestamp,"
    " checksum)"
)
_connection.execute(
    "INSERT INTO records VALUES ('events', 0, 0, x'41', x'42', NULL, 1, NULL)"
)


def _file_row(data: bytes) -> None:
    """The bytes are the headers of a row; its key and value may be any bytes."""
    _connection.execute("UPDATE records SET headers = ?", (data,))
    for record in read_from(_connection, _STORED, 0).records:
        assert all(type(n) is str and type(v) is bytes for n, v in record.headers)


# --- dead letters ---------------------------------------------------------------------


def _letter(data: bytes) -> None:
    """The bytes are a letter's headers; its key is one of them."""
    headers = headers_of(data)
    record = NewRecord(key=dict(headers).get("key"), value=b"{", headers=headers)

    async def letters() -> None:
        log = MemoryLog()
        await log.open(create=True)
        await log.produce(Topic.DEAD_LETTERS, 0, record)
        for letter in await all_dead_letters(log):
            assert letter.size is not None
            same_letter, value = await get_dead_letter(log, letter.place)
            assert (same_letter, value) == (letter, record.value)
            original(letter, value)

    asyncio.run(letters())


_LETTERS = (
    b"reason\x00empty: expected\nposition\x003@41\nrecord-key\x00order-7\nkey\x003@41",
    b"reason\x00null\nposition\x000@1\nrecord-key\x00\ncut-from-bytes\x001048588",
    b"mark\x00retried\ndetail\x003@44\nkey\x003@41\ndead-letter\x000@0",
)

STORE_DECODERS: tuple[Decoder, ...] = (
    Decoder(
        name="row",
        samples=tuple(map(encode_row, _ROWS)),
        read=_row,
        refusals=(StoreError,),
        share=20,
    ),
    Decoder(name="dead-letter", samples=_LETTERS, read=_letter, refusals=(), share=2),
    Decoder(
        name="position", samples=(_POSITION,), read=_position, refusals=(StoreError,)
    ),
    Decoder(name="store-key", samples=_KEYS, read=_key, refusals=(StoreError,)),
    Decoder(
        name="file-row",
        samples=(
            b"\x91\x92\xa4name\xc4\x01h",
            b"\x92\x92\xa4kind\xc4\x0dTaskCompleted\x92\xa5claim\xc4\x0212",
        ),
        read=_file_row,
        refusals=(DamagedLogError,),
    ),
)
