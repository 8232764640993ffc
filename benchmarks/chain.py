"""What the digests of checkpoints cost an event, in an append, a fold and a check.

Run `python benchmarks/chain.py [INSTANCES]`. Each path is measured with the digest and
without it, in turns, on the events that `benchmarks/verify.py` checks; the least CPU
time of some turns counts. A signature is measured alone: there is one for each claim.
"""
# ruff: noqa: INP001  # a program, no package

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.engine.history import copies, record, record_run, workflow
from sayiir_es.audit import PartitionChain
from sayiir_es.core.model.position import NO_RECORDS, Position
from sayiir_es.engine import fold as fold_module
from sayiir_es.engine.fold import Fold
from sayiir_es.engine.owner.claim_records import ClaimRecords, extend_digest
from sayiir_es.engine.owner.tenure import to_record
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.log.port import Chunk

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.model.events import Event
    from sayiir_es.log.port import NewRecord, Record

INSTANCES = 5_000
TURNS = 5
BATCH = 200
SIGNATURES = 200


def some_events(instances: int) -> list[Event]:
    """A claim, and the events of many instances under it."""
    events = record_run(workflow())
    maker = ClaimRecords(partition=0, owner_id="w", build="b")
    return [maker.claim(Position(), events[0].at), *copies(events, instances)]


def best(run: Callable[[], object]) -> float:
    """The least CPU seconds of some turns."""
    return min(_timed(run) for _ in range(TURNS))


def _timed(run: Callable[[], object]) -> float:
    begin = time.process_time()
    run()
    return time.process_time() - begin


def encoded(events: list[Event]) -> list[NewRecord]:
    """The records that an owner appends."""
    return [to_record(event) for event in events]


def chained(records: list[NewRecord]) -> bytes:
    """Their digests, batch by batch, as an owner computes them behind each ack."""
    digest = NO_RECORDS
    for base in range(0, len(records), BATCH):
        digest = extend_digest(digest, base, records[base : base + BATCH])
    return digest


def folded(records: list[Record]) -> bytes:
    """A fold of them all; the digest at the end."""
    store = MemoryStore()
    Fold(store, 0, 1).apply(Chunk(start=0, end=len(records), records=records))
    return store.position.digest


def checked(records: list[Record]) -> int:
    """The checkpoints held to them all."""
    chain = PartitionChain(0)
    for event_record in records:
        assert not chain.take(event_record)
    return chain.proof.events


def main() -> None:
    """Measure and print."""
    events = some_events(int(sys.argv[1]) if len(sys.argv) > 1 else INSTANCES)
    new_records = encoded(events)
    records = [record(offset, event) for offset, event in enumerate(events)]
    assert chained(new_records) == folded(records)
    with_s, digest_of = best(lambda: folded(records)), fold_module.digest_of
    fold_module.digest_of = lambda before, *_: before
    without_s = best(lambda: folded(records))
    fold_module.digest_of = digest_of
    key = Ed25519PrivateKey.generate()
    maker = ClaimRecords(partition=0, owner_id="w", build="b", signer=key)
    sign_s = best(lambda: [maker.claim(Position(), 0) for _ in range(SIGNATURES)])
    each_us = 1e6 / len(events)
    size = sum(
        len(new_record.value or b"") + len(new_record.key or b"")
        for new_record in new_records
    )
    sys.stdout.write(
        f"{len(events):,} events of {size / len(events):.0f} bytes, µs an event:\n"
        f"  encode for an append  {best(lambda: encoded(events)) * each_us:.2f}\n"
        f"  and its digest        {best(lambda: chained(new_records)) * each_us:.2f}\n"
        f"  fold without digests  {without_s * each_us:.2f}\n"
        f"  fold with them        {with_s * each_us:.2f}\n"
        f"  check of digests      {best(lambda: checked(records)) * each_us:.2f}\n"
        f"a signed claim takes {sign_s / SIGNATURES * 1e6:.0f} µs\n"
    )


if __name__ == "__main__":
    main()
