"""Fixtures of the whole suite: a real Kafka, and what tests of the log share.

A real Kafka is the first of: the address in `SAYIIR_TEST_KAFKA`; a container, if a
Docker engine answers; jars on the JVM. If there is none, the tests that need one are
skipped with one line that says what to install, and fail if `CI` is true.
"""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests import container
from tests.broker import LocalBroker
from tests.kafka_java import MissingToolError
from tests.secured_broker import SecuredBroker
from tests.seeds import register_hypothesis_profiles
from tests.without_kafka import MISSING, without_kafka

if TYPE_CHECKING:
    from collections.abc import Iterator

# A shell that runs the tests in its background lets them ignore this signal, and
# whatever they start inherits that: commands that must end by it would not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


register_hypothesis_profiles()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where tests run in several processes, tell the first one what was skipped."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["missing"] = list(MISSING)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Take over what a process of tests has told at its end; a lost one told none."""
    MISSING.extend(getattr(node, "workeroutput", {}).get("missing", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once, at the end, what the skipped tests need."""
    if MISSING:
        line = f"{len(MISSING)} TESTS SKIPPED: {MISSING[0]}"
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
            without_kafka(str(error))
        else:
            yield broker.bootstrap


@pytest.fixture
def local_broker() -> Iterator[LocalBroker]:
    """A broker of one test's own, which it may kill and start again."""
    try:
        with LocalBroker() as broker:
            yield broker
    except MissingToolError as error:
        without_kafka(str(error))


@pytest.fixture(scope="session")
def secured_kafka() -> Iterator[SecuredBroker]:
    """A broker with TLS, SASL and ACLs that all tests of this run share."""
    try:
        with SecuredBroker() as broker:
            yield broker
    except MissingToolError as error:
        without_kafka(str(error))


@pytest.fixture
def local_cluster() -> Iterator[LocalBroker]:
    """Three brokers of one test's own, which it may kill and start again."""
    try:
        with LocalBroker(brokers=3) as cluster:
            yield cluster
    except MissingToolError as error:
        without_kafka(str(error))
