"""Fixtures of the live tests: an app of a test's own, on a broker shared or its own."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import pytest

from sayiir_es.log.port import Topic
from tests import kafka_app
from tests.kafka.live_app import LiveApp

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from tests.broker import LocalBroker


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the ends of the workers' logs where a live test failed."""
    report = yield
    if call.when == "call" and report.failed and isinstance(item, pytest.Function):
        stages = (one for one in item.funcargs.values() if isinstance(one, LiveApp))
        report.sections += [("workers", stage.tails()) for stage in stages]
    return report


@pytest.fixture
def stage(kafka_bootstrap: str, tmp_path: Path) -> Iterator[LiveApp]:
    """A fresh app on the Kafka that all tests share; its topics are deleted after."""
    app = f"live-{secrets.token_hex(4)}"
    with LiveApp(kafka_bootstrap, app, tmp_path) as made:
        yield made
    asyncio.run(_delete_topics(kafka_bootstrap, app))


async def _delete_topics(bootstrap: str, app: str) -> None:
    async with kafka_app.admin(bootstrap) as hands:
        await hands.delete_topics([f"{app}.{topic.value}" for topic in Topic])


@pytest.fixture
def own_stage(local_broker: LocalBroker, tmp_path: Path) -> Iterator[LiveApp]:
    """A fresh app on a broker that the test may kill."""
    with LiveApp(local_broker.bootstrap, "live", tmp_path) as made:
        yield made
