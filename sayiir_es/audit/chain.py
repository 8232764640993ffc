"""Prove from a partition's records that none below a checkpoint is another one now.

Theory of operation. The digests of `wire.checkpoint` are computed anew, and each claim
that counts is compared with its checkpoint: the digest that it names must be the one of
the records here below its `digest_end`. The first that is not ends the proof: some
record since the checkpoint before it was changed, dropped, added or moved; a digest
cannot show which one. A checkpoint may reach back some way, and that of a claim that
landed late far: digests are kept back to the last checkpoint that proved something.

Without public keys this finds damage, and lies of those who do not know the chain: it
is computed from the log alone. With them only a signed checkpoint proves something, and
a partition without any has nothing to show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.audit.violation import Violation
from sayiir_es.core.model.errors import DecodeError, UnknownEventError
from sayiir_es.core.model.events import PartitionClaimed
from sayiir_es.core.model.position import NO_RECORDS
from sayiir_es.wire.checkpoint import (
    DIGEST_BYTES,
    RecentDigests,
    digest_of,
    signed_bytes,
)
from sayiir_es.wire.events import decode_event, read_headers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sayiir_es.log.port import Record
    from sayiir_es.wire.signing import PublicKeys

CHECKPOINT = "checkpoint"
"""The `invariant` of a violation that a checkpoint shows."""

DIGESTS_MAX = 1_000_000
"""Kept of a partition, at 40 bytes: only where so many events follow one another
without a checkpoint that proves them, and then the older half goes."""

_CLAIM = PartitionClaimed.__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """How far a partition is proved.

    Attributes:
        end: Below this offset every event is the one that was written; 0 for none.
        proved: How many events stand below it.
        events: How many count in all: what follows the last checkpoint is not proved.
        signed: Whether a signature says so, or only the log itself.
    """

    partition: int
    end: int
    proved: int
    events: int
    signed: bool


class PartitionChain:
    """The chain of one partition; give it every record, in order."""

    def __init__(self, partition: int, keys: PublicKeys | None = None) -> None:
        self._partition = partition
        self._keys = keys
        self._claim = -1
        self._digest = NO_RECORDS
        self._digests = RecentDigests(-1, NO_RECORDS, most=DIGESTS_MAX)
        self._next = 0
        self._end = self._proved = 0
        self._signed = self._broken = False

    @property
    def proof(self) -> Proof:
        """How far it is proved by what was given so far."""
        return Proof(
            partition=self._partition,
            end=self._end,
            proved=self._proved,
            events=self._digests.count,
            signed=self._signed,
        )

    def take(self, record: Record) -> list[Violation]:
        """Take the next record; after the first violation nothing more is reported."""
        headers = read_headers(record.headers)
        if headers is None:
            return []  # nobody counts it; the rules of the claim name it
        violations: list[Violation] = []
        if record.offset < self._next and not self._broken:
            self._broken = True
            expected = f"offsets from {self._next} on"
            violations = [
                self._violation(record.offset, expected, "it stands behind them")
            ]
        self._next = record.offset + 1
        if headers.kind == _CLAIM:
            if not self._broken:
                violations = self._compare(record)
            self._claim = record.offset
        elif headers.claim != self._claim:
            return []
        self._digest = digest_of(
            self._digest, record.offset, headers.kind.encode(), record.key, record.value
        )
        self._digests.add(record.offset, self._digest)
        return violations

    def finish(self) -> list[Violation]:
        """What the end leaves open: with keys, events and no signature at all."""
        if self._keys is None or self._signed or self._broken:
            return []
        if not self._digests.count:
            return []
        expected = "a checkpoint that is signed with the public key"
        return [self._violation(0, expected, f"none in {self._digests.count} events")]

    # --- one checkpoint ---------------------------------------------------------------

    def _compare(self, record: Record) -> list[Violation]:
        try:
            body = decode_event(record.value or b"").body
        except (DecodeError, UnknownEventError):
            return []  # the next checkpoint shows whether it was one
        if not isinstance(body, PartitionClaimed) or not body.digest:
            return []
        at, end = record.offset, body.digest_end
        if end < 0 or len(body.digest) != DIGEST_BYTES:
            expected = f"a checkpoint of {DIGEST_BYTES} bytes"
            seen = f"{len(body.digest)} bytes of what stands before {end}"
            return [self._violation(at, expected, seen)]
        signed = self._keys is not None and bool(body.signature)
        if self._keys is not None and body.signature:
            data = signed_bytes(self._partition, end, body.digest)
            if not self._keys.signed(data, body.signature):
                expected = "a signature that the public key confirms"
                return [self._violation(at, expected, "it does not")]
        return self._hold(at, body, proves=signed or self._keys is None)

    def _hold(
        self, at: int, body: PartitionClaimed, *, proves: bool
    ) -> list[Violation]:
        """Compare a checkpoint with the records here; `proves` if it can be trusted."""
        end = body.digest_end
        stored = self._digests.at(end)
        if stored is None:
            if end <= self._end or not proves:
                return []  # landed late: a later one has proved what it covers
            expected = f"a checkpoint of the last {DIGESTS_MAX:,} events at most"
            return [self._violation(at, expected, f"one of those before {end}")]
        digest, count = stored
        if digest != body.digest or end > at:
            self._broken = True
            if end <= self._end:
                expected = f"the digest of what is proved before {end}"
                return [self._violation(at, expected, "another")]
            expected = (
                f"what stands from here to {end - 1} to have the digest that the "
                f"checkpoint at {self._partition}@{at} names"
            )
            seen = "an event was changed, dropped, added or moved"
            return [self._violation(self._end, expected, seen)]
        if proves and end >= self._end:
            self._end, self._proved = end, count
            self._signed = self._keys is not None
            self._digests.forget(end)
        return []

    def _violation(self, offset: int, expected: str, seen: str) -> Violation:
        return Violation(
            invariant=CHECKPOINT,
            partition=self._partition,
            offset=offset,
            instance_id="",
            expected=expected,
            seen=seen,
        )


def chain_violations(
    partition: int, records: Iterable[Record], keys: PublicKeys | None = None
) -> Iterator[Violation]:
    """Yield where the records of a partition, in order, differ from its checkpoints."""
    chain = PartitionChain(partition, keys)
    for record in records:
        yield from chain.take(record)
    yield from chain.finish()
