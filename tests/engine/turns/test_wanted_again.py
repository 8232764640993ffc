"""What came back is wanted again in the batch that records so: it begins once more."""

from __future__ import annotations

from typing import Any

import pytest

from sayiir_es import Flow, task
from tests.engine.attempts.remote.speaker import virtual_harness


@pytest.mark.parametrize("limit", [None, "1m"])
@pytest.mark.parametrize("turn_units", [1, 2, 3, 100])
async def test_a_pause_that_ends_in_the_batch_of_what_it_stopped_holds_nothing_up(
    turn_units: int, limit: str | None
) -> None:
    @task(timeout=limit)
    async def echo(value: Any) -> Any:
        return value

    harness = virtual_harness(turn_units=turn_units)
    await harness.log.open(create=True)
    # All are there before a worker is: two units a turn make one batch of the start and
    # the pause, and one of the outcome and the end of the pause.
    await harness.command("StartWorkflow", "i", workflow="w", input=7)
    await harness.command("PauseWorkflow", "i")
    await harness.command("UnpauseWorkflow", "i")
    async with harness.worker(Flow("w").then(echo).build()):
        assert await harness.output("i") == 7
