"""Every claim has the digest of all valid events that its writer had folded."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sayiir_es.audit import PartitionChain
from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.model.events import PartitionClaimed
from sayiir_es.core.model.position import NO_RECORDS
from sayiir_es.engine.clock import ManualClock
from sayiir_es.engine.fold import Fold
from sayiir_es.engine.owner.batch import RECORDS_MAX
from sayiir_es.engine.owner.claim_records import RENEW_AFTER_RECORDS, SIGN_EVERY_S
from sayiir_es.engine.store.port import StoreIdentity
from sayiir_es.engine.store.rocks.store import RocksStore
from sayiir_es.log.port import Chunk, NewRecord
from sayiir_es.wire.signing import PublicKeys
from tests.audit.chained_records import digest_below
from tests.engine.harness import EngineHarness, copy_of, event_of

if TYPE_CHECKING:
    from pathlib import Path

    from sayiir_es.log.port import Record

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
KEYS = PublicKeys([KEY.public_key()])
BETWEEN_CHECKPOINTS = 10_000
LARGEST_DECISION = 500
SIGN_EVERY_MS = int(SIGN_EVERY_S * 1000)


async def step(value: str) -> str:
    return value


SHORT = Flow("short").then(step).build()


async def claims(harness: EngineHarness) -> list[tuple[int, PartitionClaimed]]:
    """Every claim in the log, with its offset."""
    bodies = [
        (record.offset, event_of(record).body) for record in await harness.records()
    ]
    return [(at, body) for at, body in bodies if isinstance(body, PartitionClaimed)]


async def check(harness: EngineHarness, proved: int) -> None:
    """Each checkpoint is the digest of the valid events below it; all is proved."""
    records = await harness.records()
    for at, claim in await claims(harness):
        assert claim.digest_end <= at
        assert claim.digest == digest_below(records, claim.digest_end)
    chain = PartitionChain(0, KEYS)
    assert [violation for record in records for violation in chain.take(record)] == []
    assert chain.finish() == []
    assert (chain.proof.end, chain.proof.signed) == (proved, True)
    assert (await harness.folded()).position.digest == digest_below(
        records, len(records)
    )


async def run(harness: EngineHarness, instance_id: str) -> None:
    """Start an instance and wait for its end."""
    await harness.command("StartWorkflow", instance_id, workflow="short", input="x")
    await harness.until_kind("WorkflowCompleted", instance_id)


async def test_the_first_claim_covers_nothing() -> None:
    harness = EngineHarness(signer=KEY)
    async with harness.worker(SHORT):
        pass
    [(at, claim)] = await claims(harness)
    assert (at, claim.digest_end, claim.digest) == (0, 0, NO_RECORDS)
    await check(harness, proved=0)


async def test_without_a_key_checkpoints_are_not_signed() -> None:
    harness = EngineHarness()
    for _ in range(2):
        async with harness.worker(SHORT):
            await run(harness, f"i{harness.workers}")
    [_, (at, claim)] = await claims(harness)
    assert (claim.digest_end, claim.signature) == (at, b"")
    assert claim.digest == digest_below(await harness.records(), at)


async def test_a_new_owner_covers_all_that_the_one_before_it_wrote() -> None:
    harness = EngineHarness(signer=KEY)
    for _ in range(3):
        async with harness.worker(SHORT):
            await run(harness, f"i{harness.workers}")
    [_, _, (at, claim)] = await claims(harness)
    assert claim.digest_end == at
    await check(harness, proved=at)


async def test_a_renewal_comes_before_ten_thousand_and_covers_all_before_it() -> None:
    assert RENEW_AFTER_RECORDS + RECORDS_MAX + LARGEST_DECISION <= BETWEEN_CHECKPOINTS
    harness = EngineHarness(signer=KEY)
    instances = 4_200  # of 4 events: two renewals
    async with harness.worker(SHORT, slots=64):
        for number in range(instances):
            await harness.command(
                "StartWorkflow", f"i{number}", workflow="short", input="x"
            )
        await harness.until_kind("WorkflowCompleted", f"i{instances - 1}")
    claim_bodies = await claims(harness)
    assert len(claim_bodies) == 3
    assert all(claim.digest_end == at for at, claim in claim_bodies)
    ends = [at for at, _ in claim_bodies]
    assert all(after - before < BETWEEN_CHECKPOINTS for before, after in pairwise(ends))
    await check(harness, proved=ends[-1])


async def test_a_signature_waits_for_its_time_and_no_longer() -> None:
    clock = ManualClock()
    harness = EngineHarness(signer=KEY, clock=clock)
    async with harness.worker(SHORT):
        await run(harness, "a")
        assert len(await claims(harness)) == 1
        clock.move(SIGN_EVERY_MS)
        await harness.until_kind("PartitionClaimed", "", count=2)
        end = len(await harness.records())
        clock.move(SIGN_EVERY_MS)
        await run(harness, "b")  # behind what needed no signature
    [_, (at, _), *_] = await claims(harness)
    assert at == end - 1
    await check(harness, proved=(await claims(harness))[-1][0])


async def test_without_a_key_only_records_bring_a_renewal() -> None:
    clock = ManualClock()
    harness = EngineHarness(clock=clock)
    async with harness.worker(SHORT):
        await run(harness, "a")
        clock.move(2 * SIGN_EVERY_MS)
        await run(harness, "b")
    assert len(await claims(harness)) == 1


async def test_what_a_displaced_owner_wrote_late_is_in_no_checkpoint() -> None:
    harness = EngineHarness(signer=KEY)
    async with harness.worker(SHORT):
        await run(harness, "a")
    last = (await harness.records())[-1]
    late = NewRecord(key=last.key, value=last.value, headers=last.headers)
    async with harness.worker(SHORT) as engine:
        await run(harness, "b")
        appender = await harness.log.appender(0)
        await appender.append([late, late])
        await run(harness, "c")
        live = engine.owners[0].store.position
        assert live.digest == digest_below(await harness.records(), live.offset)
    async with harness.worker(SHORT):
        await run(harness, "d")
    [*_, (at, claim)] = await claims(harness)
    assert claim.digest_end == at
    await check(harness, proved=at)


async def test_an_owner_that_is_fenced_covers_the_claim_that_fenced_it() -> None:
    harness = EngineHarness(signer=KEY)
    async with harness.worker(SHORT) as engine:
        await run(harness, "a")
        first = engine.owners[0]
        appender = await harness.log.appender(0)
        await appender.append([copy_of((await harness.records())[0])])  # a claim, again
        await run(harness, "b")
        assert engine.owners[0] is first
    [_, (stolen, _), (at, claim)] = await claims(harness)
    assert stolen < claim.digest_end <= at
    await check(harness, proved=claim.digest_end)


async def test_a_claim_of_before_there_were_checkpoints_is_folded_over() -> None:
    harness = EngineHarness(signer=KEY)
    await harness.log.open(create=True)
    appender = await harness.log.appender(0)
    old = bytes.fromhex(
        "c301f3bacca4d3d97af4010000000000000000"  # the golden bytes of version 1
    )
    headers = (("kind", b"PartitionClaimed"), ("claim", b"-1"))
    await appender.append([NewRecord(key=None, value=old, headers=headers)])
    async with harness.worker(SHORT):
        await run(harness, "a")
    records = await harness.records()
    [(_, first), (at, claim)] = await claims(harness)
    assert (first.digest, claim.digest_end) == (b"", at)
    assert claim.digest == digest_below(records, at)
    chain = PartitionChain(0, KEYS)
    assert [violation for record in records for violation in chain.take(record)] == []


async def test_a_warm_store_goes_on_with_its_digest(tmp_path: Path) -> None:
    harness = EngineHarness(signer=KEY)
    async with harness.worker(SHORT):
        for name in ("a", "b", "c"):
            await run(harness, name)
    records = await harness.records()
    identity = StoreIdentity(
        cluster_id="c", events_topic_id="t", partition=0, partitions=1
    )
    for start in range(0, len(records), 5):
        store = RocksStore.open(tmp_path / "store", identity)
        assert store.position.offset == start
        Fold(store, 0, 1).apply(chunk(records[start : start + 5]))
        await store.close()
    store = RocksStore.open(tmp_path / "store", identity)
    assert store.position.digest == digest_below(records, len(records))
    await store.close()


def chunk(records: list[Record]) -> Chunk:
    return Chunk(start=records[0].offset, end=records[-1].offset + 1, records=records)
