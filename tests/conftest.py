"""Fixtures of the whole suite: a real Kafka, and what tests of the log share.

A real Kafka is the first of: the address in `SAYIIR_TEST_KAFKA`; a container, if a
Docker engine answers; jars on the JVM. If there is none, the tests that need one are
skipped with one line that says what to install, and fail if `CI` is true.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests import container
from tests.broker import LocalBroker
from tests.kafka_java import MissingToolError

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOW = (
    "no Kafka for tests: set SAYIIR_TEST_KAFKA=host:port, start a Docker engine with "
    f"{container.IMAGE}, or install Java 17 and Maven"
)


_missing: list[str] = []


def _without_kafka(reason: str) -> None:
    text = f"{_HOW} ({reason})"
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(text, pytrace=False)
    _missing.append(text)
    pytest.skip("no Kafka for tests")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once, at the end, what the skipped tests need."""
    if _missing:
        line = f"{len(_missing)} TESTS SKIPPED: {_missing[0]}"
        terminalreporter.write_line(line, red=True, bold=True)


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Iterator[str]:
    """The address of a Kafka that all tests of this run share."""
    address = os.environ.get("SAYIIR_TEST_KAFKA")
    if address:
        yield address
        return
    with ExitStack() as stack:
        if container.image_is_here():
            yield stack.enter_context(container.KafkaContainer()).bootstrap
            return
        try:
            broker = stack.enter_context(LocalBroker())
        except MissingToolError as error:
            _without_kafka(str(error))
        else:
            yield broker.bootstrap


@pytest.fixture
def local_broker() -> Iterator[LocalBroker]:
    """A broker of one test's own, which it may kill and start again."""
    try:
        with LocalBroker() as broker:
            yield broker
    except MissingToolError as error:
        _without_kafka(str(error))


@pytest.fixture
def local_cluster() -> Iterator[LocalBroker]:
    """Three brokers of one test's own, which it may kill and start again."""
    try:
        with LocalBroker(brokers=3) as cluster:
            yield cluster
    except MissingToolError as error:
        _without_kafka(str(error))
