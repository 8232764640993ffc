"""`worker run` and clients export what `OTEL_*` says, over HTTP to a collector."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.processes import ROOT, Process, running
from tests.kafka_app import delete_app
from tests.tracing.collector import Collector, collecting
from tests.tracing.spans import SENDER, TRACE, TRACEPARENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

WORKER = ("worker", "run", "tests.tracing.traced_workflows")
START = ("instance", "start", "paying", "--id", "p", "--input", "5", "--wait")


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector of this test's own."""
    with collecting() as collector:
        yield collector


def run_to_end(
    *typed: str, program: str = "sayiir_es.cli", environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command, and return what became of it."""
    return subprocess.run(  # noqa: S603 (ours)
        [sys.executable, "-m", program, *typed],
        capture_output=True,
        check=False,
        cwd=ROOT,
        env=environment,
        text=True,
        timeout=60,
    )


def worker_in(
    folder: Path, environment: Mapping[str, str], *, program: str = "sayiir_es.cli"
) -> AbstractContextManager[Process]:
    """A worker for as long as the block lasts."""
    words: Any = environment  # of all names none is a parameter's
    return running(folder / "words", *WORKER, program=program, **words)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """That of processes on a log of this test's own, without any `OTEL_*`."""
    monkeypatch.setenv("SAYIIR_BACKEND", f"file:{tmp_path / 'log.db'}")
    monkeypatch.setenv("SAYIIR_LOG_FORMAT", "json")
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    return dict(os.environ)


def test_a_trace_goes_from_a_client_s_process_through_a_worker_s(
    tmp_path: Path, collector: Collector, environment: dict[str, str]
) -> None:
    environment |= collector.environment
    with worker_in(tmp_path, environment) as worker:
        worker.until("serves paying")
        started = run_to_end(
            *START, environment={**environment, "OTEL_SERVICE_NAME": "till"}
        )
        assert started.returncode == 0, started.stderr
        collector.until_named("attempt charge", "call the bank")
        assert worker.end() == 0
    send, decide = collector.one("send commands"), collector.one("decide commands")
    attempt, own = collector.one("attempt charge"), collector.one("call the bank")
    assert (send.service, decide.service) == ("till", "sayiir-es")
    assert send.parent_id == ""
    assert decide.parent_id == send.span_id
    assert attempt.parent_id == decide.span_id
    assert own.parent_id == attempt.span_id
    assert {span.trace_id for span in (send, decide, attempt, own)} == {send.trace_id}
    assert collector.one("append events").links == (decide.span_id,)
    # What the task logs says in which span.
    (charged,) = (
        line
        for text in worker.words().splitlines()
        if text.startswith("{") and (line := json.loads(text))["event"] == "charged"
    )
    assert charged["trace_id"] == own.trace_id
    assert charged["span_id"] == own.span_id


@pytest.mark.kafka
def test_the_header_of_a_foreign_record_on_kafka_leads_to_an_attempt(
    tmp_path: Path,
    collector: Collector,
    environment: dict[str, str],
    kafka_bootstrap: str,
) -> None:
    app = f"t-{secrets.token_hex(4)}"
    environment |= collector.environment
    environment["SAYIIR_BACKEND"] = f"kafka://{kafka_bootstrap}/{app}"
    environment["SAYIIR_STATE_DIR"] = str(tmp_path / "state")
    with worker_in(tmp_path, environment) as worker:
        worker.until("serves paying")
        producer: Any = import_module("confluent_kafka").Producer(
            {"bootstrap.servers": kafka_bootstrap}
        )
        body = {"command": "StartWorkflow", "workflow": "paying", "input": 5}
        producer.produce(
            f"{app}.commands",
            json.dumps(body).encode(),
            b"p",
            headers=[("traceparent", TRACEPARENT.encode())],
        )
        assert producer.flush(20) == 0
        collector.until_named("attempt charge")
        assert worker.end() == 0
    decide = collector.one(f"decide {app}.commands")
    attempt = collector.one("attempt charge")
    assert (decide.trace_id, decide.parent_id) == (TRACE, SENDER)
    assert (attempt.trace_id, attempt.parent_id) == (TRACE, decide.span_id)
    assert decide.attributes["messaging.system"] == "kafka"
    assert decide.attributes["messaging.consumer.group.name"] == f"{app}.workers"
    append = collector.one(f"append {app}.events")
    assert append.attributes["messaging.destination.name"] == f"{app}.events"

    asyncio.run(delete_app(kafka_bootstrap, app))


def test_nothing_is_exported_where_the_environment_says_so(
    collector: Collector, environment: dict[str, str]
) -> None:
    environment |= collector.environment
    start = ("instance", "start", "nobody", "--id", "p")
    for off in ({"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}):
        run_to_end(*start, environment=environment | off)
    assert collector.spans == []
    run_to_end(*start, environment=environment)
    collector.until_named("send commands", "decide commands")


def test_spans_go_to_stderr_as_lines(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    environment["OTEL_TRACES_EXPORTER"] = "console"
    with worker_in(tmp_path, environment) as worker:
        worker.until("serves paying")
        started = run_to_end(*START, environment=environment)
        assert started.returncode == 0, started.stderr
        worker.until('"attempt charge"')
        assert worker.end() == 0
    assert "span" not in started.stdout
    (span,) = (
        json.loads(text) for text in started.stderr.splitlines() if '"send' in text
    )
    assert span["name"] == "send commands"
    assert span["attributes"]["sayiir.instance.id"] == "p"


def test_a_missing_extra_is_said_in_one_line(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    # A finder that finds no SDK, as where the extra is not installed.
    (tmp_path / "without_sdk.py").write_text(
        "import sys\n"
        "class NoSdk:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'opentelemetry.sdk':\n"
        "            raise ModuleNotFoundError(f'No module named {name}', name=name)\n"
        "sys.meta_path.insert(0, NoSdk)\n"
        "from sayiir_es.cli.app import main\n"
        "main()\n"
    )
    environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
    environment["PYTHONPATH"] = f"{tmp_path}:{ROOT}"
    with worker_in(tmp_path, environment, program="without_sdk") as worker:
        worker.until("serves paying")
        assert worker.end() == 0
    lines = [line for line in worker.words().splitlines() if "otel" in line]
    (line,) = map(json.loads, lines)
    assert line["level"] == "warning"
    assert "pip install 'sayiir-es[otel]'" in line["reason"]
    assert "opentelemetry.sdk is not installed" in line["reason"]
