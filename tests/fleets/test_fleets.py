"""Fleets with other modules, other builds, and restarts of everything, on a real Kafka.

Every instance finishes, and none waits for more than a second beyond its tasks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.fleets.fleet import BEYOND_TASKS_MS, until
from tests.fleets.modules import ALPHA, BETA, REMOTE, TASK_S, build

if TYPE_CHECKING:
    from tests.fleets.fleet import Fleet

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(300)]

TASKS_MS = round(2 * TASK_S * 1000)


def test_two_fleets_with_different_modules_finish_what_either_has(
    fleet: Fleet,
) -> None:
    alpha, beta = fleet.module("alpha", ALPHA), fleet.module("beta", BETA)
    workers = [
        fleet.worker(f"{module}-{number}", module)
        for module in (alpha, beta)
        for number in range(2)
    ]
    fleet.until_served(*workers)
    for number in range(100):
        fleet.submit((alpha, beta)[number % 2], f"i{number}", number)
        time.sleep(0.02)
    reader = fleet.finish()
    waits = fleet.waits_ms(reader, TASKS_MS)
    assert max(waits.values()) <= BEYOND_TASKS_MS, waits
    fleet.check()
