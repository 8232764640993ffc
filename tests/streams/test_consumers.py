"""Consumers that use the published schemas and the guide, and none of our code."""

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

    from tests.streams.conftest import SampleApp

pytestmark = pytest.mark.kafka

GUIDE = ROOT / "docs" / "guides" / "consuming-events.md"
GO_CONSUMER = ROOT / "examples" / "go-consumer"


def python_consumer(app: SampleApp, *more: str) -> str:
    """Return what the Python example prints."""
    name = "examples.consume_confluent"
    return program(sys.executable, "-m", name, app.bootstrap, app.name, *more)


@pytest.fixture(scope="module")
def go_consumer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go example, built."""
    go = shutil.which("go", path=f"{os.environ.get('PATH', '')}:{GO}")
    if go is None:
        pytest.skip("no Go: install Go 1.26 or newer to test the consumer in Go")
    program_file = tmp_path_factory.mktemp("go") / "consumer"
    program(go, "build", "-o", str(program_file), ".", cwd=GO_CONSUMER)
    return program_file


def instance_list(app: SampleApp) -> str:
    """Return our command line's status of each instance, in the examples' form."""
    text = command_line(app, "instance", "list", "--limit", "1000", "-o", "jsonl")
    rows = [json.loads(line) for line in text.splitlines()]
    assert {row["instance_id"]: row["status"] for row in rows} == app.statuses
    names = sorted((r["instance_id"], r["workflow"], r["status"]) for r in rows)
    return "".join("\t".join(row) + "\n" for row in names)


def test_a_consumer_in_python_prints_the_statuses_of_instance_list(
    sample_app: SampleApp,
) -> None:
    output, _ = console(sample_app, GUIDE, "consume_confluent")
    assert output == instance_list(sample_app)


def test_a_consumer_in_go_prints_the_statuses_of_instance_list(
    sample_app: SampleApp, go_consumer: Path
) -> None:
    assert go_consumer.exists()
    output, events_output = console(sample_app, GUIDE, "go-consumer")
    assert output == instance_list(sample_app)
    assert events_output == python_consumer(sample_app, "0:3")


def test_a_table_of_the_snapshots_topic_says_the_same_without_a_fold(
    sample_app: SampleApp,
) -> None:
    (output,) = console(sample_app, GUIDE, "consume_snapshots localhost")
    assert output == instance_list(sample_app)


def test_consumers_that_start_in_the_middle_see_the_same_events(
    sample_app: SampleApp, go_consumer: Path
) -> None:
    text = command_line(sample_app, "event", "tail", "--from-start", "-o", "jsonl")
    events = [json.loads(line) for line in text.splitlines()]
    go = (str(go_consumer), "-brokers", sample_app.bootstrap, "-app", sample_app.name)
    schemas = str(ROOT / "schemas")
    for partition in range(PARTITIONS):
        own = [row for row in events if row["partition"] == partition]
        claims = [row["offset"] for row in own if row["kind"] == "PartitionClaimed"]
        end = own[-1]["offset"]
        assert len(claims) == 2
        # At a claim, before it, after it, in the middle, at a late record, at the end.
        valid_offsets = {row["offset"] for row in own}
        late = min(set(range(end)) - valid_offsets)
        for start in (0, claims[1] - 1, claims[1], claims[1] + 1, late, end):
            expected = "".join(
                f"{partition}@{row['offset']}\t{row['kind']}\t{row['instance_id']}\n"
                for row in own
                if row["offset"] >= start
            )
            place = f"{partition}:{start}"
            output = program(*go, "-schemas", schemas, "-from", place)
            assert output == expected
            if start in {claims[1] + 1, late}:
                assert python_consumer(sample_app, place) == expected
