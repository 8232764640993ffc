"""Consumers that know the published schemas and the guide, and none of our code."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from tests.streams.conftest import GO, PARTITIONS, command_line, console, program
from tests.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.streams.conftest import Shop

pytestmark = pytest.mark.kafka

GUIDE = ROOT / "docs" / "guides" / "consuming-events.md"
GO_CONSUMER = ROOT / "examples" / "go-consumer"


def python_consumer(shop: Shop, *more: str) -> str:
    """What the Python example prints."""
    name = "examples.consume_confluent"
    return program(sys.executable, "-m", name, shop.bootstrap, shop.app, *more)


@pytest.fixture(scope="module")
def go_consumer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go example, built."""
    go = shutil.which("go", path=f"{os.environ.get('PATH', '')}:{GO}")
    if go is None:
        pytest.skip("no Go: install Go 1.26 or newer to test the consumer in Go")
    built = tmp_path_factory.mktemp("go") / "consumer"
    program(go, "build", "-o", str(built), ".", cwd=GO_CONSUMER)
    return built


def listed(shop: Shop) -> str:
    """What our command line says of every instance, as the examples print it."""
    text = command_line(shop, "instance", "list", "--limit", "1000", "-o", "jsonl")
    rows = [json.loads(line) for line in text.splitlines()]
    assert {row["instance_id"]: row["status"] for row in rows} == shop.statuses
    names = sorted((r["instance_id"], r["workflow"], r["status"]) for r in rows)
    return "".join("\t".join(row) + "\n" for row in names)


def test_a_consumer_in_python_prints_the_statuses_of_instance_list(
    settled: Shop,
) -> None:
    printed, _ = console(settled, GUIDE, "consume_confluent")
    assert printed == listed(settled)


def test_a_consumer_in_go_prints_the_statuses_of_instance_list(
    settled: Shop, go_consumer: Path
) -> None:
    assert go_consumer.exists()
    printed, behind = console(settled, GUIDE, "go-consumer")
    assert printed == listed(settled)
    assert behind == python_consumer(settled, "0:3")


def test_a_table_of_the_snapshots_topic_says_the_same_without_a_fold(
    settled: Shop,
) -> None:
    (printed,) = console(settled, GUIDE, "consume_snapshots localhost")
    assert printed == listed(settled)


def test_consumers_that_start_in_the_middle_see_the_same_events(
    settled: Shop, go_consumer: Path
) -> None:
    text = command_line(settled, "event", "tail", "-o", "jsonl")
    events = [json.loads(line) for line in text.splitlines()]
    go = (str(go_consumer), "-brokers", settled.bootstrap, "-app", settled.app)
    schemas = str(ROOT / "schemas")
    for partition in range(PARTITIONS):
        own = [row for row in events if row["partition"] == partition]
        claims = [row["offset"] for row in own if row["kind"] == "PartitionClaimed"]
        end = own[-1]["offset"]
        assert len(claims) == 2
        # At a claim, before, behind it, in the midst, at a late record and at the end.
        taken = {row["offset"] for row in own}
        late = min(set(range(end)) - taken)
        for start in (0, claims[1] - 1, claims[1], claims[1] + 1, late, end):
            wanted = "".join(
                f"{partition}@{row['offset']}\t{row['kind']}\t{row['instance_id']}\n"
                for row in own
                if row["offset"] >= start
            )
            place = f"{partition}:{start}"
            printed = program(*go, "-schemas", schemas, "-from", place)
            assert printed == wanted
            if start in {claims[1] + 1, late}:
                assert python_consumer(settled, place) == wanted
