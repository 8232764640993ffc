"""Random programs give the output of the model, on every log, under killed owners."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.log.conformance import EmbeddedSubject, KafkaSubject, MemorySubject
from tests.programs.program_runner import ProgramRunner
from tests.seeds import first_seed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.log.conformance import Subject

PARTITIONS = 3


async def run_programs(subject: Subject, programs: int, kills: int) -> None:
    """Run on a fresh app, with the seed that `tests.seeds` says."""
    seed = first_seed()
    print(f"seed {seed}; again: SAYIIR_ES_TEST_SEED={seed}")  # noqa: T201
    log = subject.log(partitions=PARTITIONS)
    await log.open(create=True)
    runner = ProgramRunner(log, Random(seed), programs)  # noqa: S311 (a test's)
    assert await runner.run(kills) == [], f"seed {seed}"


async def test_programs_in_memory_survive_the_death_of_any_owner() -> None:
    await run_programs(MemorySubject(), programs=20, kills=20)


async def test_programs_in_a_file_survive_the_death_of_any_owner(
    tmp_path: Path,
) -> None:
    subject = EmbeddedSubject(tmp_path / "log.db")
    try:
        await run_programs(subject, programs=20, kills=20)
    finally:
        await subject.close()


@pytest.mark.kafka
async def test_programs_on_kafka_survive_the_death_of_any_owner(
    kafka_bootstrap: str,
) -> None:
    subject = KafkaSubject(kafka_bootstrap)
    try:
        await run_programs(subject, programs=20, kills=20)
    finally:
        await subject.close()


@pytest.mark.long
@pytest.mark.kafka
@pytest.mark.timeout(3600)
async def test_many_programs_on_kafka_survive_the_death_of_any_owner(
    kafka_bootstrap: str,
) -> None:
    subject = KafkaSubject(kafka_bootstrap)
    try:
        await run_programs(subject, programs=500, kills=300)
    finally:
        await subject.close()
