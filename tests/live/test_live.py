"""On a real Kafka no increment is lost or extra, though processes are killed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.live.run import Plan, run_plan
from tests.seeds import first_seed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.broker import LocalBroker

pytestmark = pytest.mark.kafka

SECONDS = float(os.environ.get("SAYIIR_ES_TEST_LIVE_S", "60"))
SEEDS = 4
PER_SECOND = 20.0


def seed_of(number: int) -> int:
    """Those from the seed on that `tests.seeds` says."""
    return first_seed() + number


@pytest.mark.timeout(120)
def test_counters_are_right_after_some_troubles(
    local_broker: LocalBroker, tmp_path: Path
) -> None:
    run_plan(local_broker, tmp_path, Plan(seed=seed_of(0), seconds=8, per_second=10))


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", range(SEEDS))
def test_counters_are_right_after_many_troubles(
    local_broker: LocalBroker, tmp_path: Path, number: int
) -> None:
    plan = Plan(seed=seed_of(number), seconds=SECONDS, per_second=PER_SECOND)
    run_plan(local_broker, tmp_path, plan)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", range(SEEDS))
def test_counters_are_right_when_one_of_three_brokers_is_killed(
    local_cluster: LocalBroker, tmp_path: Path, number: int
) -> None:
    plan = Plan(seed=seed_of(number), seconds=SECONDS, per_second=PER_SECOND)
    run_plan(local_cluster, tmp_path, plan)
