"""`sayiir-es dev`: one process with worker, pages and API, and again at each change."""

from __future__ import annotations

import json
import re
import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.cli.processes import LIMIT_S, running

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Terminal
    from tests.cli.processes import Process

MODULE = """
from sayiir_es import Flow

pricing = Flow("pricing").then(lambda number: number * {factor}).build()
"""


def address(dev: Process) -> str:
    """Where it says that its pages are."""
    dev.until("pages and API: http://")
    match = re.search(r"pages and API: (\S+)", dev.words())
    assert match is not None
    return match[1]


def answer_of(url: str) -> tuple[int, str]:
    """The status of an answer, and its text."""
    try:
        with urlopen(url, timeout=10) as response:  # noqa: S310 (of this machine)
            return int(response.status), response.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def status(url: str) -> int:
    return answer_of(url)[0]


def instances(url: str) -> list[dict[str, object]]:
    """What its API lists."""
    code, text = answer_of(f"{url}/api/v1/instances")
    assert code == 200, text
    rows: list[dict[str, object]] = json.loads(text)["instances"]
    return rows


def assert_worker_is_well(url: str) -> str:
    """Its health is that of its worker; the metrics, which are the worker's, too."""
    assert json.loads(answer_of(f"{url}/health/live")[1])["status"] == "live"
    end_s = time.monotonic() + LIMIT_S
    code, text = answer_of(f"{url}/health/ready")
    while code == 503 and time.monotonic() < end_s:  # it looks once a second
        time.sleep(0.1)
        code, text = answer_of(f"{url}/health/ready")
    health = json.loads(text)
    assert (code, health["status"]) == (200, "ready"), text
    assert health["partitions"]["served"] == health["partitions"]["assigned"] != []
    code, text = answer_of(f"{url}/metrics")
    assert code == 200
    assert "\nsayiir_ready 1.0\n" in text
    assert "\nsayiir_attempts_running " in text
    return text


def test_it_serves_a_module_and_begins_again_at_the_same_address_when_it_changes(
    terminal: Terminal,
) -> None:
    (terminal.cwd / "shop.py").write_text(MODULE.format(factor=2))
    command = ("dev", "shop", "--port", "0", "--file", "log.db")
    backend = f"--backend file:{terminal.cwd / 'log.db'}"
    with running(terminal.cwd / "words", *command, cwd=terminal.cwd) as dev:
        dev.until("serves pricing")
        url = address(dev)
        assert status(f"{url}/openapi.json") == 200
        terminal(f"instance start pricing --id a --input 5 {backend}")
        assert terminal(f"instance result a --wait {backend}").out == "10\n"
        assert 'id="open-a"' in answer_of(f"{url}/")[1]
        assert [(row["instance_id"], row["status"]) for row in instances(url)] == [
            ("a", "completed")
        ]
        metrics = assert_worker_is_well(url)
        assert "sayiir_http_requests_total{" in metrics
        assert 'sayiir_attempts_total{result="completed",workflow="pricing"}' in metrics
        (terminal.cwd / "shop.py").write_text(MODULE.format(factor=3))
        dev.until("changed: shop.py")
        dev.until("serves pricing", times=2)
        assert status(f"{url}/openapi.json") == 200
        terminal(f"instance start pricing --id b --input 5 {backend}")
        assert terminal(f"instance result b --wait {backend}").out == "15\n"
        assert 'id="open-b"' in answer_of(f"{url}/")[1]
        assert {row["instance_id"] for row in instances(url)} == {"a", "b"}
        assert_worker_is_well(url)
        assert dev.end() == 0
        assert dev.words().count("pages and API") == 1


def test_without_a_module_customers_order_from_a_shop(terminal: Terminal) -> None:
    command = ("dev", "--port", "0", "--file", "sample.db")
    backend = f"--backend file:{terminal.cwd / 'sample.db'}"
    with running(terminal.cwd / "words", *command, cwd=terminal.cwd) as dev:
        url = address(dev)
        dev.until("serves orders, price-watch, refunds")
        assert status(f"{url}/openapi.json") == 200
        end_s = time.monotonic() + LIMIT_S
        counts: dict[str, object] = {}
        while not {"completed", "awaiting_signal"} <= counts.keys():
            assert time.monotonic() < end_s, dev.words()
            rows = terminal(f"instance count --by status -o jsonl {backend}").rows()
            counts = {str(row["status"]): row["count"] for row in rows}
        # Its failures are meant: they fill no terminal.
        assert "attempt_failed" not in dev.words()
        assert dev.end() == 0
        assert "drains" in dev.words()


def test_a_port_that_is_taken_is_told_at_once(terminal: Terminal) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        answer = terminal(f"dev --port {port} --file log.db")
    assert answer.code == 2
    assert f"expected to listen on port {port} of 127.0.0.1, but another" in answer.err


@pytest.mark.parametrize("module", ["", "shop"])
def test_other_machines_reach_it_with_a_token_only(
    terminal: Terminal, module: str
) -> None:
    answer = terminal(f"dev {module} --port 0 --host 0.0.0.0 --file log.db")
    assert answer.code == 2
    assert "expected a token or a proxy" in answer.err


def test_a_module_with_an_error_is_waited_for(terminal: Terminal) -> None:
    shop = terminal.cwd / "shop.py"
    shop.write_text("from sayiir_es import Flow\n1 +\n")
    command = ("dev", "shop", "--port", "0", "--file", "log.db")
    with running(terminal.cwd / "words", *command, cwd=terminal.cwd) as dev:
        dev.until("waits for a change of shop")
        assert "SyntaxError" in dev.words()
        shop.write_text(MODULE.format(factor=2))
        dev.until("serves pricing")
        assert status(f"{address(dev)}/openapi.json") == 200
        assert dev.end() == 0


def test_the_log_of_a_module_is_where_other_commands_look(terminal: Terminal) -> None:
    (terminal.cwd / "shop.py").write_text(MODULE.format(factor=2))
    words: Path = terminal.cwd / "words"
    with running(words, "dev", "shop", "--port", "0", cwd=terminal.cwd) as dev:
        dev.until("serves pricing on file:.sayiir/log.db")
        assert dev.end() == 0
