"""Fixtures of the live tests: a fresh app, on a shared broker or on a test's own."""

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
        live_apps = (
            value for value in item.funcargs.values() if isinstance(value, LiveApp)
        )
        report.sections += [("workers", live_app.tails()) for live_app in live_apps]
    return report


@pytest.fixture
def live_app(kafka_bootstrap: str, tmp_path: Path) -> Iterator[LiveApp]:
    """A fresh app on the Kafka that all tests share; its topics are deleted after."""
    app = f"live-{secrets.token_hex(4)}"
    with LiveApp(kafka_bootstrap, app, tmp_path) as fresh_app:
        yield fresh_app
    asyncio.run(_delete_topics(kafka_bootstrap, app))


async def _delete_topics(bootstrap: str, app: str) -> None:
    async with kafka_app.admin(bootstrap) as client:
        await client.delete_topics([f"{app}.{topic.value}" for topic in Topic])


@pytest.fixture
def own_live_app(local_broker: LocalBroker, tmp_path: Path) -> Iterator[LiveApp]:
    """A fresh app on a broker that the test may kill."""
    with LiveApp(local_broker.bootstrap, "live", tmp_path) as fresh_app:
        yield fresh_app
