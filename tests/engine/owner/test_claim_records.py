"""Every claim says what stood before it, whoever wrote that, whatever came between."""

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
from tests.engine.harness import World, copied, decoded

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


async def claims(world: World) -> list[tuple[int, PartitionClaimed]]:
    """Every claim that stands in the log, with its offset."""
    found = [(record.offset, decoded(record).body) for record in await world.records()]
    return [(at, body) for at, body in found if isinstance(body, PartitionClaimed)]


async def check(world: World, proved: int) -> None:
    """Each checkpoint is the digest of what counts below it; all below is proved."""
    records = await world.records()
    for at, claim in await claims(world):
        assert claim.digest_end <= at
        assert claim.digest == digest_below(records, claim.digest_end)
    chain = PartitionChain(0, KEYS)
    assert [one for record in records for one in chain.take(record)] == []
    assert chain.finish() == []
    assert (chain.proof.end, chain.proof.signed) == (proved, True)
    assert (await world.folded()).position.digest == digest_below(records, len(records))


async def run(world: World, instance_id: str) -> None:
    """Start an instance and wait for its end."""
    await world.command("StartWorkflow", instance_id, workflow="short", input="x")
    await world.until_kind("WorkflowCompleted", instance_id)


async def test_the_first_claim_covers_nothing() -> None:
    world = World(signer=KEY)
    async with world.worker(SHORT):
        pass
    [(at, claim)] = await claims(world)
    assert (at, claim.digest_end, claim.digest) == (0, 0, NO_RECORDS)
    await check(world, proved=0)


async def test_without_a_key_checkpoints_are_not_signed() -> None:
    world = World()
    for _ in range(2):
        async with world.worker(SHORT):
            await run(world, f"i{world.workers}")
    [_, (at, claim)] = await claims(world)
    assert (claim.digest_end, claim.signature) == (at, b"")
    assert claim.digest == digest_below(await world.records(), at)


async def test_a_new_owner_covers_all_that_the_one_before_it_wrote() -> None:
    world = World(signer=KEY)
    for _ in range(3):
        async with world.worker(SHORT):
            await run(world, f"i{world.workers}")
    [_, _, (at, claim)] = await claims(world)
    assert claim.digest_end == at
    await check(world, proved=at)


async def test_a_renewal_comes_before_ten_thousand_and_covers_all_before_it() -> None:
    assert RENEW_AFTER_RECORDS + RECORDS_MAX + LARGEST_DECISION <= BETWEEN_CHECKPOINTS
    world = World(signer=KEY)
    instances = 4_200  # of 4 events: two renewals
    async with world.worker(SHORT, slots=64):
        for number in range(instances):
            await world.command(
                "StartWorkflow", f"i{number}", workflow="short", input="x"
            )
        await world.until_kind("WorkflowCompleted", f"i{instances - 1}")
    found = await claims(world)
    assert len(found) == 3
    assert all(claim.digest_end == at for at, claim in found)
    ends = [at for at, _ in found]
    assert all(after - before < BETWEEN_CHECKPOINTS for before, after in pairwise(ends))
    await check(world, proved=ends[-1])


async def test_a_signature_waits_for_its_time_and_no_longer() -> None:
    clock = ManualClock()
    world = World(signer=KEY, clock=clock)
    async with world.worker(SHORT):
        await run(world, "a")
        assert len(await claims(world)) == 1
        clock.move(SIGN_EVERY_MS)
        await world.until_kind("PartitionClaimed", "", count=2)
        end = len(await world.records())
        clock.move(SIGN_EVERY_MS)
        await run(world, "b")  # behind what needed no signature
    [_, (at, _), *_] = await claims(world)
    assert at == end - 1
    await check(world, proved=(await claims(world))[-1][0])


async def test_without_a_key_only_records_bring_a_renewal() -> None:
    clock = ManualClock()
    world = World(clock=clock)
    async with world.worker(SHORT):
        await run(world, "a")
        clock.move(2 * SIGN_EVERY_MS)
        await run(world, "b")
    assert len(await claims(world)) == 1


async def test_what_a_displaced_owner_wrote_late_is_in_no_checkpoint() -> None:
    world = World(signer=KEY)
    async with world.worker(SHORT):
        await run(world, "a")
    last = (await world.records())[-1]
    late = NewRecord(key=last.key, value=last.value, headers=last.headers)
    async with world.worker(SHORT) as engine:
        await run(world, "b")
        appender = await world.log.appender(0)
        await appender.append([late, late])
        await run(world, "c")
        live = engine.owners[0].store.position
        assert live.digest == digest_below(await world.records(), live.offset)
    async with world.worker(SHORT):
        await run(world, "d")
    [*_, (at, claim)] = await claims(world)
    assert claim.digest_end == at
    await check(world, proved=at)


async def test_an_owner_that_is_fenced_covers_the_claim_that_fenced_it() -> None:
    world = World(signer=KEY)
    async with world.worker(SHORT) as engine:
        await run(world, "a")
        first = engine.owners[0]
        appender = await world.log.appender(0)
        await appender.append([copied((await world.records())[0])])  # a claim, again
        await run(world, "b")
        assert engine.owners[0] is first
    [_, (stolen, _), (at, claim)] = await claims(world)
    assert stolen < claim.digest_end <= at
    await check(world, proved=claim.digest_end)


async def test_a_claim_of_before_there_were_checkpoints_is_folded_over() -> None:
    world = World(signer=KEY)
    await world.log.open(create=True)
    appender = await world.log.appender(0)
    old = bytes.fromhex(
        "c301f3bacca4d3d97af4010000000000000000"  # the golden bytes of version 1
    )
    headers = (("kind", b"PartitionClaimed"), ("claim", b"-1"))
    await appender.append([NewRecord(key=None, value=old, headers=headers)])
    async with world.worker(SHORT):
        await run(world, "a")
    records = await world.records()
    [(_, first), (at, claim)] = await claims(world)
    assert (first.digest, claim.digest_end) == (b"", at)
    assert claim.digest == digest_below(records, at)
    chain = PartitionChain(0, KEYS)
    assert [one for record in records for one in chain.take(record)] == []


async def test_a_warm_store_goes_on_with_its_digest(tmp_path: Path) -> None:
    world = World(signer=KEY)
    async with world.worker(SHORT):
        for name in ("a", "b", "c"):
            await run(world, name)
    records = await world.records()
    identity = StoreIdentity(
        cluster_id="c", events_topic_id="t", partition=0, partitions=1
    )
    for start in range(0, len(records), 5):
        store = RocksStore.open(tmp_path / "store", identity)
        assert store.position.offset == start
        Fold(store, 0).apply(chunk(records[start : start + 5]))
        await store.close()
    store = RocksStore.open(tmp_path / "store", identity)
    assert store.position.digest == digest_below(records, len(records))
    await store.close()


def chunk(records: list[Record]) -> Chunk:
    return Chunk(start=records[0].offset, end=records[-1].offset + 1, records=records)
