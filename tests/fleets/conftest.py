"""Fixtures of the tests with whole fleets."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import pytest

from sayiir_es.log.port import Topic
from tests import kafka_app
from tests.fleets.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the ends of the processes' logs where a test failed."""
    report = yield
    if call.when == "call" and report.failed and isinstance(item, pytest.Function):
        fleets = (one for one in item.funcargs.values() if isinstance(one, Fleet))
        report.sections += [("processes", fleet.tails()) for fleet in fleets]
    return report


@pytest.fixture
def fleet(kafka_bootstrap: str, tmp_path: Path) -> Iterator[Fleet]:
    """A fresh app on the Kafka that all tests share, without a process yet."""
    app = f"fleet-{secrets.token_hex(4)}"
    with Fleet(kafka_bootstrap, app, tmp_path) as made:
        yield made
    asyncio.run(_delete_topics(kafka_bootstrap, app))


async def _delete_topics(bootstrap: str, app: str) -> None:
    async with kafka_app.admin(bootstrap) as client:
        await client.delete_topics([f"{app}.{topic.value}" for topic in Topic])
