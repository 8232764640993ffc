"""The commands of the guide for producers, run as they are written there."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from examples.orders import orders
from sayiir_es import Worker
from tests import kafka_app
from tests.streams.conftest import LIMIT_S, command_line, console
from tests.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.streams.conftest import SampleApp

pytestmark = pytest.mark.kafka

GUIDE = ROOT / "docs" / "guides" / "producing-commands.md"
REQUESTS_GUIDE = ROOT / "docs" / "guides" / "requests.md"
ORDER = {"item": "kettle", "amount": 2}


@pytest.fixture(scope="module")
def app_with_worker(sample_app: SampleApp) -> Iterator[SampleApp]:
    """The app, with a worker that runs `orders`."""
    with Worker("w", sample_app.backend).start([orders]):
        yield sample_app


def kinds_of(app: SampleApp, instance_id: str) -> list[str]:
    """Return the event kinds of an instance's history."""
    words = ("instance", "history", instance_id, "-o", "jsonl")
    text = command_line(app, *words)
    return [json.loads(line)["kind"] for line in text.splitlines()]


def result_of(app: SampleApp, instance_id: str) -> object:
    """Return the result of an instance."""
    text = command_line(app, "instance", "result", instance_id, "--wait")
    return json.loads(text)


def test_two_lines_of_kcat_start_and_approve_an_order(
    app_with_worker: SampleApp,
) -> None:
    if shutil.which("kcat") is None:
        pytest.skip("no kcat: install the package `kcat`")
    assert console(app_with_worker, GUIDE, "kcat") == ["", ""]
    result = result_of(app_with_worker, "order-100")
    assert isinstance(result, dict)
    assert result["shipped"] is True


def test_a_producer_of_json_prints_the_cause_of_its_events(
    app_with_worker: SampleApp,
) -> None:
    (output,) = console(app_with_worker, GUIDE, "examples.produce_json")
    causes = output.split()
    assert len(causes) == 20
    assert all(re.fullmatch(r"command:\d@\d+", cause) for cause in causes)
    for number in (0, 9):
        assert result_of(app_with_worker, f"order-{number}")


def test_a_producer_finds_the_answer_to_its_command(app_with_worker: SampleApp) -> None:
    assert console(app_with_worker, GUIDE, "order-70") == [
        "WorkflowStarted order-70: run 1\n"
    ]
    again = "CommandRejected order-70: already_exists\n"
    assert console(app_with_worker, GUIDE, "order-70") == [again]


def test_a_producer_waits_for_the_end_of_what_it_started(
    app_with_worker: SampleApp,
) -> None:
    [output] = console(app_with_worker, REQUESTS_GUIDE, "order-71")
    name, _, result = output.partition(": ")
    assert name == "order-71 completed"
    assert json.loads(result)["shipped"] is True
    [again] = console(app_with_worker, REQUESTS_GUIDE, "order-71")
    assert again.startswith("order-71 already_exists: expected no instance")


def test_a_bridge_that_is_run_twice_starts_each_record_once(
    app_with_worker: SampleApp,
) -> None:
    source = f"web{app_with_worker.name}.orders"
    asyncio.run(_make_topic(app_with_worker, source))
    for _ in range(3):
        kafka_app.produce_by_librdkafka(
            app_with_worker.bootstrap, source, json.dumps(ORDER).encode(), "none"
        )
    first, second = console(app_with_worker, GUIDE, "examples.produce_avro")
    assert first == second
    names = first.split()
    assert len(names) == 3
    for name in names:
        end_s = time.monotonic() + LIMIT_S
        while "CommandAcknowledged" not in (kinds := kinds_of(app_with_worker, name)):
            assert time.monotonic() < end_s, kinds
        assert kinds.count("WorkflowStarted") == 1


async def _make_topic(app: SampleApp, name: str) -> None:
    async with kafka_app.admin(app.bootstrap) as admin:
        await kafka_app.make_topic(admin, name, 1, {})
