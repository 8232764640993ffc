"""The commands of the guide for producers, run as they stand there."""

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

    from tests.streams.conftest import Shop

pytestmark = pytest.mark.kafka

GUIDE = ROOT / "docs" / "guides" / "producing-commands.md"
ORDER = {"item": "kettle", "amount": 2}


@pytest.fixture(scope="module")
def served(settled: Shop) -> Iterator[Shop]:
    """The shop, with a worker that runs `orders`."""
    with Worker("w", settled.backend).start([orders]):
        yield settled


def kinds_of(shop: Shop, instance_id: str) -> list[str]:
    """The kinds in an instance's history."""
    typed = ("instance", "history", instance_id, "-o", "jsonl")
    text = command_line(shop, *typed)
    return [json.loads(line)["kind"] for line in text.splitlines()]


def result_of(shop: Shop, instance_id: str) -> object:
    """What an instance ends with."""
    text = command_line(shop, "instance", "result", instance_id, "--wait")
    return json.loads(text)


def test_two_lines_of_kcat_start_and_approve_an_order(served: Shop) -> None:
    if shutil.which("kcat") is None:
        pytest.skip("no kcat: install the package `kcat`")
    assert console(served, GUIDE, "kcat") == ["", ""]
    shipped = result_of(served, "order-100")
    assert isinstance(shipped, dict)
    assert shipped["shipped"] is True


def test_a_producer_of_json_is_told_the_cause_of_its_events(served: Shop) -> None:
    (printed,) = console(served, GUIDE, "examples.produce_json")
    causes = printed.split()
    assert len(causes) == 20
    assert all(re.fullmatch(r"command:\d@\d+", cause) for cause in causes)
    for number in (0, 9):
        assert result_of(served, f"order-{number}")


def test_a_producer_finds_the_answer_to_its_command(served: Shop) -> None:
    assert console(served, GUIDE, "order-70") == ["WorkflowStarted order-70: run 1\n"]
    again = "CommandRejected order-70: already_exists\n"
    assert console(served, GUIDE, "order-70") == [again]


def test_a_bridge_that_is_run_twice_starts_each_record_once(served: Shop) -> None:
    source = f"web{served.app}.orders"
    asyncio.run(_make_topic(served, source))
    for _ in range(3):
        kafka_app.produce_by_librdkafka(
            served.bootstrap, source, json.dumps(ORDER).encode(), "none"
        )
    first, second = console(served, GUIDE, "examples.produce_avro")
    assert first == second
    names = first.split()
    assert len(names) == 3
    for name in names:
        end_s = time.monotonic() + LIMIT_S
        while "CommandAcknowledged" not in (kinds := kinds_of(served, name)):
            assert time.monotonic() < end_s, kinds
        assert kinds.count("WorkflowStarted") == 1


async def _make_topic(shop: Shop, name: str) -> None:
    async with kafka_app.admin(shop.bootstrap) as hands:
        await kafka_app.make_topic(hands, name, 1, {})
