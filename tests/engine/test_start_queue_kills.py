"""A start queue whose owners are killed behind every write loses no permit."""

from __future__ import annotations

import pytest

from sayiir_es import Flow
from sayiir_es.core.model.run_permit_events import queue_id
from tests.engine.family import Family, StoppingLog
from tests.engine.test_start_queues import (
    echo,
    has_ended,
    is_empty,
    set_queue,
    start,
)

NAMES = ("a", "b", "c", "d")


async def run_queue(log: StoppingLog, *, is_set: bool) -> Family:
    """Four runs of which one goes on at a time; the last one is cancelled.

    With `is_set` two go on at a time from some point on, by what is set.
    """
    family = Family(Flow("w", max_running=1).then(echo).then(echo).build(), log=log)
    await family.start()
    await start(family, *NAMES)
    if is_set:
        await set_queue(family, max_running=2, queue_length=9)
    await family.command("CancelWorkflow", NAMES[-1])
    return family


async def expected(family: Family) -> None:
    """What becomes of them, whatever was killed on the way."""
    for name in NAMES[:-1]:
        await has_ended(family, name)
    await family.until(
        lambda kinds: bool({"WorkflowCancelled", "WorkflowCompleted"} & {*kinds}),
        NAMES[-1],
    )
    await is_empty(family)
    kinds = await family.kinds(queue_id("w"))
    granted = kinds.count("RunPermitGranted")
    assert len(NAMES) - 1 <= granted <= kinds.count("RunPermitReturned") <= len(NAMES)
    await family.verify()


@pytest.mark.parametrize("is_set", [False, True], ids=["as it is", "set meanwhile"])
@pytest.mark.parametrize("last", ["is lost", "lands unanswered"])
async def test_kills_behind_every_write_lose_no_permit(
    last: str, *, is_set: bool
) -> None:
    whole = await run_queue(StoppingLog(), is_set=is_set)
    begun = whole.log.writes
    await expected(whole)
    await whole.stop()
    assert whole.log.writes - begun > 15
    for writes in range(whole.log.writes - begun):
        log = StoppingLog()
        log.lands = last != "is lost"
        killed = await run_queue(log, is_set=is_set)
        log.stops_behind = log.writes + writes
        await killed.until_stopped()
        await killed.stop()
        async with Family(*killed.workflows, log=await log.copy()) as left:
            await expected(left)
