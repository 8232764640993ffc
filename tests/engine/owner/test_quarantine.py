"""What raises while one decision is made stops its instance, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es import Flow, task
from sayiir_es.audit.verify.log import LogVerification
from sayiir_es.core.model.events import CommandRejected, InstanceQuarantined
from sayiir_es.core.model.rows import get_header, get_value
from sayiir_es.engine.clock import ManualClock
from tests.captured_logs import capture_logs
from tests.engine.harness import EngineHarness, event_of

if TYPE_CHECKING:
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.engine.worker import WorkerEngine


def store_of(engine: WorkerEngine) -> SnapshotStore:
    """The live store of partition 0."""
    owner = engine.owners[0]
    assert owner is not None
    return owner.store


async def check(harness: EngineHarness) -> None:
    """Check that the log holds to every rule of `audit verify`."""
    verification = LogVerification(harness.log)
    violations = [violation async for violation in verification.violations()]
    assert not violations, violations[0]


@task
async def once(value: int) -> int:
    return value + 1


async def test_a_timer_that_raises_quarantines_and_the_next_owner_keeps_it_so() -> None:
    clock = ManualClock()
    harness = EngineHarness(clock=clock)
    flow = Flow("w").then(once).delay("nap", "1h").build()
    engine = await harness.start_worker(flow)
    await harness.command("StartWorkflow", workflow="w", input=1)
    await harness.until_kind("DelayStarted")
    store_of(engine).apply("i", {"vresult:once": None})
    clock.move(3_600_000)
    engine.owners[0].look()
    events = await harness.until_kind("InstanceQuarantined")
    body = events[-1].body
    assert isinstance(body, InstanceQuarantined)
    assert body.decided_on.startswith("a timer in chain '', due at ")
    assert "expected a recorded value under 'result:once'" in body.error
    await engine.stop(drain=False)

    async with harness.worker(flow):  # its store is folded from the log
        await harness.command("StartWorkflow", "other", workflow="w", input=1)
        await harness.until_kind("DelayStarted", "other")
        assert (await harness.kinds())[-1] == "InstanceQuarantined"
        await harness.command("RetryWorkflow")
        assert await harness.output() == 2
    await check(harness)


def wide(size: int) -> Flow:
    """A flow that begins with a fork whose branches have long names."""
    fork = Flow("wide").fork()
    for number in range(size // 250):
        fork = fork.branch(once, name=f"{number:04}" + "n" * 246)
    return fork.join(len)


async def test_a_start_that_fits_no_batch_is_rejected_and_the_partition_goes_on() -> (
    None
):
    harness = EngineHarness()
    async with harness.worker(wide(240_000).build(), Flow("w").then(once).build()):
        await harness.command("StartWorkflow", workflow="wide", input="x" * 700_000)
        await harness.command("StartWorkflow", "other", workflow="w", input=1)
        assert await harness.output("other") == 2
        (record, *_) = [r for r in await harness.records() if r.key == b"i"]
    body = event_of(record).body
    assert isinstance(body, CommandRejected)
    assert body.code == "too_large"


async def test_an_attempt_without_input_quarantines_its_instance_alone() -> None:
    harness = EngineHarness()
    flow = Flow("w").wait_for_signal("go").then(once).build()
    async with harness.worker(flow) as engine:
        await harness.command("StartWorkflow", workflow="w", input=1)
        await harness.until_kind("SignalAwaited")
        store = store_of(engine)
        # Its bytes are lost as soon as the signal is there.
        await harness.command("PauseWorkflow")
        await harness.until_kind("WorkflowPaused")
        await harness.command("SendSignal", signal="go", payload=41)
        events = await harness.until_kind("SignalReceived")
        signal = next(e.sequence for e in events if e.kind == "SignalReceived")
        payload = get_value(store.rows("i"), f"signal:{signal}")
        assert payload is not None
        store.apply("i", {f"vsignal:{signal}": None})
        await harness.command("UnpauseWorkflow")
        events = await harness.until_kind("InstanceQuarantined")
        body = events[-1].body
        assert isinstance(body, InstanceQuarantined)
        assert body.error_type == "HistoryError"
        assert "'once', attempt 1" in body.decided_on
        assert f"expected a recorded value under 'signal:{signal}'" in body.error

        # The others go on.
        await harness.command("StartWorkflow", "other", workflow="w", input=1)
        await harness.command("SendSignal", "other", signal="go", payload=1)
        assert await harness.output("other") == 2

        # Released before the cause is gone it comes back; then it goes on.
        await harness.command("RetryWorkflow")
        await harness.until_kind("InstanceQuarantined", count=2)
        store.apply("i", {f"vsignal:{signal}": payload})
        await harness.command("RetryWorkflow")
        assert await harness.output() == 42
        header = get_header(store.rows("i"))
        assert header is not None
        assert header.run == 3
    await check(harness)


async def test_a_command_that_raises_is_rejected_and_its_instance_goes_on() -> None:
    harness = EngineHarness()
    flow = Flow("w").wait_for_signal("go").then(once).build()
    async with harness.worker(flow) as engine:
        await harness.command("StartWorkflow", workflow="w", input=1)
        await harness.until_kind("SignalAwaited")
        store = store_of(engine)
        cursor = store.rows("i").get("c")
        assert cursor is not None
        with capture_logs() as logs:
            store.apply("i", {"c": b"no cursor"})
            offset = await harness.command("SendSignal", signal="go", payload=1)
            events = await harness.until(
                lambda events: events[-1].cause == f"command:0@{offset}"
            )
            store.apply("i", {"c": cursor})
        body = events[-1].body
        assert isinstance(body, CommandRejected)
        assert body.code == "internal"
        assert [log["event"] for log in logs] == ["instance.decision_failed"]
        await harness.command("SendSignal", signal="go", payload=1)
        assert await harness.output() == 2
    await check(harness)
