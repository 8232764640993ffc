"""Every program on a Kafka with TLS, SASL and ACLs, with the least that it needs.

The ACLs here are those of the guide: a test holds the page to them.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, run_durable_workflow, task
from sayiir_es.client.backends.kept import KEPT_BACKENDS
from tests.cli.processes import LIMIT_S, running
from tests.kafka_app import producer
from tests.secured_broker import password_of
from tests.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from tests.cli.conftest import Terminal
    from tests.cli.processes import Process
    from tests.secured_broker import SecuredBroker

    Acls = Mapping[str, tuple[str, ...]]

pytestmark = pytest.mark.kafka

GUIDE = ROOT / "docs" / "guides" / "secured-kafka.md"
TOLD_S = 5.0

# program → (topics, operations) of each; the names are below "APP.".
WORKER = {
    "commands": ("Read", "Write"),
    "events": ("Read", "Write"),
    "dead-letters": ("Read", "Write"),
    "definitions": ("Read", "Write"),
    "attempts": ("Read", "Write"),
    "requests": ("Read", "Write"),
    "replies": ("Read", "Write"),
}
CLIENT = {
    "commands": ("Write",),
    "events": ("Read",),
    "dead-letters": ("Describe",),
    "definitions": ("Read", "Write"),
    "attempts": ("Describe",),
    "requests": ("Write",),
    "replies": ("Read",),
}
READER = {
    "commands": ("Read",),
    "events": ("Read",),
    "dead-letters": ("Read",),
    "definitions": ("Read",),
    "attempts": ("Describe",),
    "requests": ("Describe",),
    "replies": ("Describe",),
}

EXECUTOR = {
    "commands": ("Write",),
    "events": ("Describe",),
    "dead-letters": ("Describe",),
    "definitions": ("Read",),
    "attempts": ("Read",),
    "requests": ("Write",),
    "replies": ("Read",),
}


@task
def double(number: int) -> int:
    return number * 2


DOUBLING = Flow("doubling").then(double).build()


def grant(broker: SecuredBroker, user: str, app: str, topics: Acls) -> None:
    """Grant what a table says, and to see the settings of all topics."""
    for topic, operations in topics.items():
        for operation in operations:
            broker.allow(user, operation.upper(), "TOPIC", f"{app}.{topic}")
    broker.allow(user, "DESCRIBE_CONFIGS", "TOPIC", f"{app}.")


@pytest.fixture
def app(
    terminal: Terminal, secured_kafka: SecuredBroker, monkeypatch: pytest.MonkeyPatch
) -> str:
    """An app that an administrator has made, named by SAYIIR_BACKEND."""
    name = f"t-{secrets.token_hex(4)}"
    address = f"kafka://{secured_kafka.port('SASLSSL')}/{name}"
    monkeypatch.setenv("SAYIIR_BACKEND", address)
    monkeypatch.setenv("XDG_STATE_HOME", str(terminal.cwd / "state"))
    file = secured_kafka.config("admin")
    made = terminal(f"topic create --partitions 1 --kafka-config {file}")
    assert made.code == 0, made.err
    return name


def test_each_program_works_with_the_least_that_it_needs(
    terminal: Terminal, app: str, secured_kafka: SecuredBroker
) -> None:
    grant(secured_kafka, "worker", app, WORKER)
    secured_kafka.allow("worker", "READ", "GROUP", f"{app}.workers")
    grant(secured_kafka, "client", app, CLIENT)
    grant(secured_kafka, "reader", app, READER)
    worker_file = secured_kafka.config("worker")
    by_client = f"--kafka-config {secured_kafka.config('client')}"
    by_reader = f"--kafka-config {secured_kafka.config('reader')}"
    with running(
        terminal.cwd / "words",
        *("worker", "run", "examples.orders"),
        SAYIIR_KAFKA_CONFIG=str(worker_file),
        SAYIIR_LOG_LEVEL="debug",
    ) as worker:
        worker.until("serves orders")
        order = """'{"item":"teapot","amount":5}'"""
        started = terminal(f"instance start orders --id a --input {order} {by_client}")
        assert started.code == 0, started.err
        sent = terminal(
            f"""instance signal a approval --payload '{{"ok":true}}' {by_client}"""
        )
        assert sent.code == 0, sent.err
        result = terminal(f"instance result a --wait {by_client}")
        assert result.code == 0, result.err
        for verb in (
            *("doctor", "instance list", "instance show a", "instance history a"),
            *("event tail --from-start", "audit verify", "partition list"),
            *("dead-letter list", "workflow list", "topic check"),
        ):
            answer = terminal(f"{verb} {by_reader}")
            assert answer.code == 0, f"{verb}: {answer.err}{answer.out}"
        assert worker.end() == 0
        words = worker.words()
    assert "refused" not in words
    assert password_of("worker") not in words


def test_an_executor_works_with_the_least_that_it_needs(
    terminal: Terminal, app: str, secured_kafka: SecuredBroker
) -> None:
    with remote_programs(terminal, app, secured_kafka, WORKER) as programs:
        worker, executor, by_client = programs
        result = terminal(f"instance start quick --id a --input 7 --wait {by_client}")
        assert result.code == 0, result.err
        assert executor.end() == 0
        assert worker.end() == 0
        words = executor.words()
    assert "refused" not in words
    assert password_of("executor") not in words


def test_a_worker_that_may_not_hand_out_attempts_goes_on(
    terminal: Terminal, app: str, secured_kafka: SecuredBroker
) -> None:
    acls = {**WORKER, "attempts": ("Describe",)}
    with remote_programs(terminal, app, secured_kafka, acls) as programs:
        worker, executor, by_client = programs
        begun = terminal(f"instance start quick --id a --input 7 {by_client}")
        assert begun.code == 0, begun.err
        worker.until("records.lost")
        order = """'{"item":"teapot","amount":5}'"""
        started = terminal(f"instance start orders --id b --input {order} {by_client}")
        assert started.code == 0, started.err
        assert executor.end() == 0


@contextmanager
def remote_programs(
    terminal: Terminal, app: str, broker: SecuredBroker, worker_acls: Acls
) -> Generator[tuple[Process, Process, str]]:
    """A worker, an executor that has joined it, and the option that makes a client."""
    grant(broker, "worker", app, worker_acls)
    broker.allow("worker", "READ", "GROUP", f"{app}.workers")
    grant(broker, "client", app, CLIENT)
    grant(broker, "executor", app, EXECUTOR)
    modules = ("tests.executor.remote_flows", "examples.orders")
    by_worker = str(broker.config("worker"))
    by_executor = str(broker.config("executor"))
    with (
        running(
            terminal.cwd / "worker",
            *("worker", "run", *modules),
            SAYIIR_KAFKA_CONFIG=by_worker,
            PYTHONPATH=str(ROOT),
        ) as worker,
        running(
            terminal.cwd / "executor",
            *("executor", "run", *modules),
            SAYIIR_KAFKA_CONFIG=by_executor,
            PYTHONPATH=str(ROOT),
        ) as executor,
    ):
        worker.until("serves")
        yield worker, executor, f"--kafka-config {broker.config('client')}"


def test_who_makes_the_topics_needs_no_more_than_the_page_says(
    terminal: Terminal, secured_kafka: SecuredBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = f"t-{secrets.token_hex(4)}"
    for operation in ("CREATE", "WRITE", "READ", "DESCRIBE_CONFIGS"):
        secured_kafka.allow("nobody", operation, "TOPIC", f"{app}.")
    # An address that nobody listens at comes first: the other one is asked, too.
    address = f"kafka://127.0.0.1:1,{secured_kafka.port('SASLSSL')}/{app}"
    monkeypatch.setenv("SAYIIR_BACKEND", address)
    file = secured_kafka.config("nobody")
    made = terminal(f"topic create --partitions 1 --kafka-config {file}")
    assert made.code == 0, made.err
    wrong = {"sasl_password": "not-it-at-all"}
    file = secured_kafka.config("nobody", **wrong)
    began_s = time.monotonic()
    answer = terminal(f"topic check --kafka-config {file}")
    assert time.monotonic() - began_s < TOLD_S
    assert "SASL_AUTHENTICATION_FAILED" in answer.err


def test_a_helper_and_a_client_of_python_read_the_environment(
    terminal: Terminal,
    app: str,
    secured_kafka: SecuredBroker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in {*CLIENT, *WORKER}:
        secured_kafka.allow("alice", "ALL", "TOPIC", f"{app}.{name}")
    secured_kafka.allow("alice", "READ", "GROUP", f"{app}.workers")
    password = terminal.cwd / "password"
    password.write_text(password_of("alice") + "\n")
    monkeypatch.setenv("SAYIIR_KAFKA_SECURITY_PROTOCOL", "sasl_ssl")
    monkeypatch.setenv("SAYIIR_KAFKA_SASL_MECHANISM", "scram-sha-256")
    monkeypatch.setenv("SAYIIR_KAFKA_SASL_USERNAME", "alice")
    monkeypatch.setenv("SAYIIR_KAFKA_SASL_PASSWORD_FILE", str(password))
    monkeypatch.setenv("SAYIIR_KAFKA_SSL_CAFILE", str(secured_kafka.authority.path))
    url = f"kafka://{secured_kafka.port('SASLSSL')}/{app}"
    try:
        status = run_durable_workflow(DOUBLING, "i", 21, url)
    finally:
        KEPT_BACKENDS.close()  # else it would outlive the broker for half a minute
    assert status.output == 42


@pytest.mark.parametrize(
    "verb",
    [
        *("instance list", "instance start orders --id a --input 1", "doctor"),
        *("worker run examples.orders", "audit verify", "topic check"),
        "projector run --state-dir views",
    ],
)
def test_every_verb_tells_a_wrong_password_within_seconds(
    terminal: Terminal, app: str, secured_kafka: SecuredBroker, verb: str
) -> None:
    del app
    wrong = {"sasl_password": "not-it-at-all"}
    file = secured_kafka.config("admin", **wrong)
    began_s = time.monotonic()
    answer = terminal(f"{verb} --kafka-config {file}")
    assert time.monotonic() - began_s < TOLD_S
    assert answer.code in {1, 5}
    assert "SASL_AUTHENTICATION_FAILED" in answer.err + answer.out
    assert "not-it-at-all" not in answer.err + answer.out


def test_a_worker_whose_rights_are_withdrawn_gives_up_and_ends(
    terminal: Terminal, app: str, secured_kafka: SecuredBroker
) -> None:
    grant(secured_kafka, "worker", app, WORKER)
    secured_kafka.allow("worker", "READ", "GROUP", f"{app}.workers")
    with running(
        terminal.cwd / "words",
        *("worker", "run", "examples.orders"),
        SAYIIR_KAFKA_CONFIG=str(secured_kafka.config("worker")),
    ) as worker:
        worker.until("serves orders")
        secured_kafka.forbid("worker", "WRITE", "TOPIC", f"{app}.events")
        asyncio.run(send_command(secured_kafka, app))
        began_s = time.monotonic()
        assert worker.wait() == 5
        assert time.monotonic() - began_s < LIMIT_S
        words = worker.words()
    assert "partition.refused" in words
    assert "TOPIC_AUTHORIZATION_FAILED to User:worker" in words
    assert f"--operation Write --topic {app}.events" in words
    assert words.count("TOPIC_AUTHORIZATION_FAILED") < 20


async def send_command(broker: SecuredBroker, app: str) -> None:
    """Start an order as the super-user, and wait for nothing."""
    value = b'{"command":"StartWorkflow","instance_id":"b","workflow":"orders"}'
    async with producer(broker.bootstrap) as client:
        await client.send_and_wait(f"{app}.commands", value, key=b"b", partition=0)


def test_the_guide_has_these_acls() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    for program, topics in (
        ("worker", WORKER),
        ("client", CLIENT),
        ("reader", READER),
        ("executor", EXECUTOR),
    ):
        for topic, operations in topics.items():
            [row] = [
                line
                for line in text.splitlines()
                if line.startswith(f"| `APP.{topic}`")
            ]
            cells = [cell.strip() for cell in row.strip("|").split("|")]
            column = ("worker", "client", "reader", "executor").index(program) + 1
            assert cells[column] == ", ".join(operations), (topic, program)
