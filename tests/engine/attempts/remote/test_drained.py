"""A worker that drains before the log acknowledges what goes elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.log.memory.log import Fault
from tests.engine.attempts.remote.orders import paying, speaker
from tests.engine.attempts.remote.speaker import virtual_harness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.log.port import NewRecord


class SlowAnswers:
    """Every batch is in the log at once, and acknowledged a second later."""

    def next(self, partition: int, batch: Sequence[NewRecord]) -> Fault:
        """The fault of this batch."""
        del partition, batch
        return Fault(lands_after_s=0.01, answered_after_s=1.0)


async def test_what_the_log_says_was_handed_out_and_was_not_comes_back() -> None:
    harness = virtual_harness()
    executor = speaker(harness)
    async with harness.worker(paying()) as worker, executor.reading():
        executor.offer(1)
        harness.log.faults = SlowAnswers()
        await harness.command("StartWorkflow", workflow="orders", input=7)
        await harness.until_kind("AttemptPublished")
        harness.log.faults = None
        owner = worker.owners[0]
        owner.drain()
        # Else the next owner would wait for a lease that nobody has.
        await harness.until_kind("AttemptWithdrawn")
        assert executor.handed_out() == []
        owner.dispatcher.resume()
        executor.offer(1)
        await executor.tell(await executor.attempt())
        assert await harness.output() == "done"
