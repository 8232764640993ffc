"""In a program of somebody else the package logs as any library does."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
import structlog

from sayiir_es import EmbeddedBackend, Flow, run_durable_workflow
from sayiir_es.telemetry import get_logger
from tests.library.programs import (
    has_log_open,
    make_log,
    program_environment,
    run_program,
)

if TYPE_CHECKING:
    from pathlib import Path

STATE = """
import gc, logging, signal, sys, threading, warnings

def state():
    loggers = {
        name: (one.level, tuple(one.handlers), tuple(one.filters), one.propagate)
        for name, one in list(logging.root.manager.loggerDict.items())
        if isinstance(one, logging.Logger)
    }
    structlog = sys.modules.get("structlog")
    return {
        "root": (logging.root.level, tuple(logging.root.handlers)),
        "class": logging.getLoggerClass(),
        "factory": logging.getLogRecordFactory(),
        "disable": logging.root.manager.disable,
        "touched": {k: v for k, v in loggers.items() if v != (0, (), (), True)},
        "warnings": (tuple(warnings.filters), warnings.showwarning),
        "signals": tuple(signal.getsignal(n) for n in signal.valid_signals()),
        "wakeup": signal.set_wakeup_fd(-1),
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook),
        "streams": (sys.stdout, sys.stderr),
        "gc": (gc.get_threshold(), gc.isenabled(), gc.get_freeze_count()),
        "structlog": structlog is not None and structlog.is_configured(),
    }
"""

USES = """
import asyncio
import sayiir_es
from sayiir_es import *  # every public name is imported
from sayiir_es import aio
from sample import doubling

def use():
    client = WorkflowClient("file:log.db")
    with Worker("w", EmbeddedBackend("log.db")).start([doubling]):
        client.submit(doubling, "a", 1)
        assert client.wait("a", timeout=30).output == 2
    assert run_durable_workflow(doubling, "b", 1, "file:log.db").output == 2
    assert run_workflow(doubling, 4) == 8
    async def main():
        async with aio.WorkflowClient("file:log.db") as one:
            await one.status("a")
        await aio.run_workflow(doubling, 1)
    asyncio.run(main())
    sayiir_es.KafkaBackend("localhost:1")
    init_tracing()
    shutdown_tracing()
"""


@pytest.mark.parametrize(
    "configured",
    ["", "logging.basicConfig(level='INFO')", "warnings.simplefilter('error')"],
)
def test_import_and_use_change_nothing_of_the_process(
    tmp_path: Path, configured: str
) -> None:
    process = run_program(
        f"""{STATE}
warnings.simplefilter("default")
# What Python itself does on the way: a loop sets and resets its wake-up.
{configured}
before = state()
{USES}
assert state() == before, "import"
use()
after = state()
changed = {{k: (before[k], after[k]) for k in after if after[k] != before[k]}}
assert not changed, changed
""",
        tmp_path,
    )
    assert process.stdout == ""


WARN = """
from sayiir_es.telemetry import get_logger
get_logger("sayiir_es.engine.owner").warning(
    "partition.refused", partition=3, reason="100% of \\n it"
)
get_logger("sayiir_es.engine.owner").info("partition.claimed", partition=3)
"""


def test_without_any_logging_a_warning_reaches_stderr_and_nothing_stdout(
    tmp_path: Path,
) -> None:
    process = run_program(WARN, tmp_path)
    assert process.stdout == ""
    assert process.stderr == ("partition.refused partition=3 reason='100% of \\n it'\n")


BASIC = 'logging.basicConfig(format="%(levelname)s|%(name)s|%(module)s|%(message)s")'


@pytest.mark.parametrize(
    "source",
    [
        f"import logging\n{BASIC}\nimport sayiir_es\n{WARN}",
        f"import sayiir_es, logging\nsayiir_es.run_workflow\n{BASIC}\n{WARN}",
        f"import structlog as s, logging\ns.configure(processors=[])\n{BASIC}\n{WARN}",
    ],
    ids=["before", "after", "beside-structlog"],
)
def test_the_program_s_own_format_holds_for_our_lines(
    tmp_path: Path, source: str
) -> None:
    process = run_program(source, tmp_path)
    assert process.stdout == ""
    assert process.stderr == (
        "WARNING|sayiir_es.engine.owner|program|"
        "partition.refused partition=3 reason='100% of \\n it'\n"
    )


def test_caplog_has_our_lines_with_their_data(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO", logger="sayiir_es"):
        get_logger("sayiir_es.x").bind(partition=3).info("partition.claimed", offset=7)
    (record,) = caplog.records
    assert record.getMessage() == "partition.claimed partition=3 offset=7"
    assert vars(record)["event"] == "partition.claimed"
    assert (vars(record)["partition"], vars(record)["offset"]) == (3, 7)
    assert record.pathname == __file__


def test_a_line_has_its_place_in_a_program_that_logs_with_structlog(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = logging.getLoggerClass()
    try:
        structlog.stdlib.LoggerFactory()  # it sets the class of loggers
        with caplog.at_level("INFO", logger="sayiir_es"):
            get_logger("sayiir_es.of_structlog").info("partition.claimed")
    finally:
        logging.setLoggerClass(before)
    assert caplog.records[0].pathname == __file__


def test_a_line_has_the_traceback_of_its_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = ValueError("of this test")
    get_logger("sayiir_es.x").error("partition.crashed", exc_info=error)
    assert "ValueError: of this test" in caplog.text


def test_caplog_works_for_a_real_warning_of_the_engine(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Damage a snapshot store: the next owner logs that it made a new one."""

    def double(number: int) -> int:
        return number * 2

    flow = Flow("doubling").then(double).build()
    path = tmp_path / "log.db"
    for name in ("a", "b"):
        with (
            caplog.at_level("WARNING", logger="sayiir_es"),
            EmbeddedBackend(path) as backend,
        ):
            run_durable_workflow(flow, name, 1, backend)
        for manifest in (tmp_path / "log.db.state").rglob("CURRENT"):
            manifest.write_text("MANIFEST-nothing\n")
    assert "store.replaced" in {getattr(one, "event", "") for one in caplog.records}


# --- the command line -----------------------------------------------------------------

NOISY = """
import asyncio, logging, threading, warnings
from sayiir_es import Flow, task

warnings.warn("a warning at import")
logging.getLogger("x").warning("%d is no number", "x")  # cannot be formatted
logging.getLogger("aiokafka.conn").error("Unable to %s", "connect")

class Odd:
    def __del__(self):
        raise ValueError("in a finalizer")

async def noise(_: object) -> int:
    del_me = Odd()
    del del_me
    asyncio.ensure_future(fail())  # never awaited
    thread = threading.Thread(target=lambda: 1 / 0, name="of-a-user")
    thread.start()
    thread.join()
    warnings.warn("a warning in a task")
    loop = asyncio.get_running_loop()
    loop.call_soon(lambda: [].pop())
    await asyncio.sleep(0.05)
    import gc
    gc.collect()
    return 1

async def fail() -> None:
    raise KeyError("nobody awaits it")

noisy = Flow("noisy").then(noise).build()
"""


def lines_of(text: str) -> list[dict[str, object]]:
    """Every line of a text as JSON."""
    return [json.loads(line) for line in text.splitlines()]


def sayiir(
    cwd: Path, *typed: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command with JSON on stderr."""
    return subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-m", "sayiir_es.cli", *typed],
        cwd=cwd,
        env=program_environment({"SAYIIR_LOG_FORMAT": "json", **environment}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_json_of_a_worker_has_no_plain_line(tmp_path: Path) -> None:
    """Warnings, threads, finalizers, asyncio, libraries and lines without a format."""
    (tmp_path / "noisy.py").write_text(NOISY)
    url = f"file:{tmp_path / 'log.db'}"
    with subprocess.Popen(
        [sys.executable, "-m", "sayiir_es.cli", "worker", "run", "noisy"],
        cwd=tmp_path,
        env=program_environment({"SAYIIR_LOG_FORMAT": "JSON", "SAYIIR_BACKEND": url}),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as worker:
        try:
            started = sayiir(
                tmp_path,
                *("instance", "start", "noisy", "--id", "n", "--wait"),
                *("--timeout", "30s"),
                SAYIIR_BACKEND=url,
            )
        finally:
            worker.terminate()
        out, err = worker.communicate(timeout=30)
    lines_of(started.stderr)
    assert started.returncode == 0, started.stderr
    rows = lines_of(err)
    assert out == ""
    assert worker.returncode == 0
    text = json.dumps(rows)
    for expected in (
        "a warning at import",
        "a warning in a task",
        "is no number (not formatted",
        "Unable to connect",
        "ZeroDivisionError",
        "of-a-user",
        "in a finalizer",
        "nobody awaits it",
        "pop from empty list",
        "serves noisy",
    ):
        assert expected in text, expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import no_such_module", "no_such_module"),
        ("x = (", "SyntaxError"),
        ("raise SystemExit('bye')", ""),
        ("", "expected a Workflow at the top level"),
    ],
)
def test_json_of_a_start_that_fails_has_no_plain_line(
    tmp_path: Path, source: str, expected: str
) -> None:
    (tmp_path / "broken.py").write_text(source)
    process = sayiir(tmp_path, "worker", "run", "broken")
    assert process.returncode != 0
    rows = lines_of(process.stderr)
    assert rows
    assert expected in json.dumps(rows)


@pytest.mark.parametrize(
    ("typed", "environment"),
    [
        (("no-such-verb",), {}),
        (("instance", "show", "nobody"), {}),
        (("instance", "show"), {}),
        (("instance", "list"), {"SAYIIR_LOG_LEVEL": "loud"}),
        (("instance", "list", "--backend", "postgres://x"), {}),
    ],
)
def test_json_of_a_refused_command_has_no_plain_line(
    tmp_path: Path, typed: tuple[str, ...], environment: dict[str, str]
) -> None:
    process = sayiir(tmp_path, *typed, **environment)
    assert process.returncode in {2, 3}
    (row,) = lines_of(process.stderr)
    assert row["event"] == "command.failed"
    assert row["error_code"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_json_of_a_command_that_a_signal_ends_has_no_plain_line(
    tmp_path: Path, number: signal.Signals
) -> None:
    make_log(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-m", "sayiir_es.cli", "event", "tail"],
        cwd=tmp_path,
        env=program_environment(
            {"SAYIIR_LOG_FORMAT": "json", "SAYIIR_BACKEND": "file:log.db"}
        ),
        stderr=subprocess.PIPE,
        text=True,
    ) as tail:
        try:
            end_s = time.monotonic() + 30
            while not has_log_open(tail.pid):
                assert time.monotonic() < end_s
                time.sleep(0.02)
            time.sleep(0.3)  # into the event loop; before it the result is the same
            tail.send_signal(number)
            _, err = tail.communicate(timeout=20)
        except BaseException:
            tail.kill()  # or the block waits for its end
            raise
    assert tail.returncode == 128 + number
    lines_of(err)
