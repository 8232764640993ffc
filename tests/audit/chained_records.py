"""A partition's records as owners write them, checkpoints and all, to be tampered with.

The digests are made here anew, as the schema of `PartitionClaimed` words them, so that
what the engine and the checker share cannot be wrong in both unseen.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sayiir_es.audit import PartitionChain, chain_violations
from sayiir_es.core.model.events import DelayElapsed, Event, PartitionClaimed
from sayiir_es.log.port import Record
from sayiir_es.wire.events import (
    decode_event,
    encode_event,
    encode_keyed,
    event_headers,
)
from sayiir_es.wire.signing import PublicKeys

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sayiir_es.audit import Proof, Violation

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"o" * 32)

KEYS = PublicKeys([KEY.public_key()])

LAST = 17
"""Where the last checkpoint of `two_owners` stands, of what is below it."""

COUNTED = [n for n in range(LAST) if n not in (10, 11)]
CLAIMS = (0, 5, 12, 17)
"""Of `two_owners`: where what counts stands before the last, and the claims."""

Checkpoint = tuple[int, bytes]
"""Up to which offset, and the digest."""


def digest_below(records: Iterable[Record], end: int) -> bytes:
    """The digest of all records that count below an offset, word for word."""
    digest, claim = bytes(32), -1
    for record in records:
        kind, under = (value for _, value in record.headers[:2])
        if record.offset >= end or (
            kind != b"PartitionClaimed" and int(under) != claim
        ):
            continue
        if kind == b"PartitionClaimed":
            claim = record.offset
        key = record.key
        size = (-1 if key is None else len(key)).to_bytes(4, "big", signed=True)
        digest = sha256(
            digest
            + record.offset.to_bytes(8, "big")
            + len(kind).to_bytes(2, "big")
            + size
            + kind
            + (key or b"")
            + (record.value or b"")
        ).digest()
    return digest


class Partition:
    """Records of one partition, appended by whoever a test says."""

    def __init__(self, key: Ed25519PrivateKey | None = None, number: int = 0) -> None:
        self.records: list[Record] = []
        self.number = number
        self.claimed = -1
        """Where the claim in force stands."""
        self._key = key

    @property
    def end(self) -> int:
        """The next offset."""
        return len(self.records)

    def checkpoint(self) -> Checkpoint:
        """What a claim that is made now says of what stands here."""
        return self.end, digest_below(self.records, self.end)

    def claim(self, checkpoint: Checkpoint | None = None) -> int:
        """A claim lands; it may have been made earlier."""
        end, digest = checkpoint or self.checkpoint()
        signature = b""
        if self._key is not None:
            place = self.number.to_bytes(4, "big") + end.to_bytes(8, "big")
            signature = self._key.sign(b"sayiir-es checkpoint v1\x00" + place + digest)
        body = PartitionClaimed(
            owner="w",
            build="b",
            next_command=0,
            digest_end=end,
            digest=digest,
            signature=signature,
        )
        self.claimed = self._land(self.event(claim=-1, instance_id="", body=body))
        return self.claimed

    def write(self, count: int, claim: int | None = None) -> None:
        """Events of an owner land; under an older claim they do not count."""
        for number in range(count):
            self._land(
                self.event(
                    claim=self.claimed if claim is None else claim,
                    instance_id=f"i{number % 3}",
                    body=DelayElapsed(path=f"d{self.end}"),
                )
            )

    @staticmethod
    def event(
        claim: int, instance_id: str, body: DelayElapsed | PartitionClaimed
    ) -> Event:
        """An event whose rest says nothing."""
        return Event(
            claim=claim,
            instance_id=instance_id,
            run=0,
            sequence=0,
            at=0,
            cause="",
            body=body,
        )

    def _land(self, event: Event) -> int:
        self.records.append(record_of(event, self.end))
        return self.end - 1


def record_of(event: Event, offset: int) -> Record:
    """The record of an event."""
    key, value = encode_keyed(event)
    return Record(
        offset=offset,
        key=key,
        value=value,
        headers=event_headers(event.kind, event.claim),
        timestamp_ms=0,
    )


def renumbered(records: Iterable[Record]) -> list[Record]:
    """As they stand in a topic to which they were copied."""
    return [replace(record, offset=offset) for offset, record in enumerate(records)]


def two_owners(key: Ed25519PrivateKey | None = None) -> Partition:
    """Two owners and a renewal, a late batch, and events behind the last checkpoint.

    Claims at 0, 5, 12 and 17; 10 and 11 do not count, nor does 18.
    """
    topic = Partition(key)
    first = topic.claim()
    topic.write(4)
    checkpoint = topic.checkpoint()
    topic.claim(checkpoint)
    topic.write(4)
    topic.write(2, claim=first)
    second = topic.claim()
    topic.write(4)
    topic.claim()
    topic.write(1, claim=second)
    topic.write(3)
    return topic


def found(records: Sequence[Record], keys: PublicKeys | None = None) -> list[Violation]:
    """What the checkpoints say against the records."""
    return list(chain_violations(0, records, keys))


def proved(records: Sequence[Record], keys: PublicKeys | None = None) -> Proof:
    """How far they prove them."""
    chain = PartitionChain(0, keys)
    for record in records:
        chain.take(record)
    return chain.proof


def lied(record: Record) -> Record:
    """The record with another body, readable as before."""
    event = decode_event(record.value or b"")
    body = event.body
    if isinstance(body, DelayElapsed):
        body = replace(body, path="elsewhere")
    elif isinstance(body, PartitionClaimed):
        body = replace(body, owner="somebody")
    return replace(record, value=encode_event(replace(event, body=body)))


def check_found(records: Sequence[Record], at: int) -> None:
    """The first violation names the place, or a stretch up to a checkpoint with it."""
    first = found(records, KEYS)[0]
    assert (first.invariant, first.partition) == ("checkpoint", 0)
    if first.offset == at:
        return
    past = int(first.expected.split(" to ")[1].split(" ")[0])
    assert first.offset <= at <= past, first
