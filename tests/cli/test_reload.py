"""`worker run --reload`: the worker begins again when a file of its code changes."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from sayiir_es.cli.watched_files import WatchedFiles, changed_names
from tests.cli.processes import running

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.cli.conftest import Terminal

MODULE = """
from shop_prices import FACTOR
from sayiir_es import Flow

pricing = Flow("pricing").then(lambda number: number * FACTOR).build()
"""


def write(terminal: Terminal, factor: str) -> None:
    (terminal.cwd / "shop_prices.py").write_text(f"FACTOR = {factor}\n")


def price(terminal: Terminal, instance_id: str) -> str:
    terminal(f"instance start pricing --id {instance_id} --input 5")
    return str(terminal(f"instance result {instance_id} --wait").out)


def test_a_worker_begins_again_with_the_code_that_changed(terminal: Terminal) -> None:
    (terminal.cwd / "shop.py").write_text(MODULE)
    write(terminal, "2")
    command = ("worker", "run", "shop", "--reload", "--drain", "5s")
    with running(terminal.cwd / "words", *command, cwd=terminal.cwd) as worker:
        worker.until("serves pricing", times=1)
        assert price(terminal, "a") == "10\n"
        write(terminal, "3")
        worker.until("changed: shop_prices.py")
        worker.until("serves pricing", times=2)
        assert price(terminal, "b") == "15\n"
        write(terminal, "3 +")
        worker.until("the worker ended with 1; waits for a change of shop")
        assert "SyntaxError" in worker.words()
        write(terminal, "4")
        worker.until("serves pricing", times=3)
        assert price(terminal, "c") == "20\n"
        assert worker.end(signal.SIGINT) == 0
        assert worker.words().count("drains") == 3
    assert "it is free" in terminal("doctor").out


def test_a_worker_whose_watcher_is_killed_drains_and_ends(terminal: Terminal) -> None:
    (terminal.cwd / "shop.py").write_text(MODULE)
    write(terminal, "2")
    command = ("worker", "run", "shop", "--reload")
    with running(terminal.cwd / "words", *command, cwd=terminal.cwd) as worker:
        worker.until("serves pricing", times=1)
        assert worker.end(signal.SIGKILL) == -signal.SIGKILL
        worker.until_written("drains")
    with running(
        terminal.cwd / "next", "worker", "run", "shop", cwd=terminal.cwd
    ) as other:
        other.until("serves pricing")
        assert other.end() == 0


def test_a_module_that_is_not_there_is_waited_for(terminal: Terminal) -> None:
    command = ("worker", "run", "shop", "--reload")
    write(terminal, "2")
    with running(terminal.cwd / "words", *command, cwd=terminal.cwd) as worker:
        worker.until("the worker ended with 2; waits for a change of shop")
        (terminal.cwd / "shop.py").write_text(MODULE)
        worker.until("serves pricing")
        assert worker.end(signal.SIGTERM) == 0


def test_all_files_of_a_package_are_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inner = tmp_path / "shop" / "orders"
    inner.mkdir(parents=True)
    (tmp_path / "shop" / "__init__.py").write_text("raise AssertionError")
    (inner / "flow.py").write_text("")
    (inner / ".hidden").mkdir()
    (inner / ".hidden" / "no.py").write_text("")
    (tmp_path / "beside.py").write_text("")
    files = WatchedFiles(["shop.orders.flow"])
    before = files.look()
    assert changed_names({}, before) == ["__init__.py", "flow.py"]
    (inner / "flow.py").write_text("1")
    (inner / "more.py").write_text("")
    (tmp_path / "beside.py").write_text("1")
    (tmp_path / "shop" / "__init__.py").unlink()
    assert changed_names(before, files.look()) == ["__init__.py", "flow.py", "more.py"]


def test_a_module_is_watched_with_those_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.py").write_text("")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "no.py").write_text("")
    files = WatchedFiles(["one", "none"])
    assert changed_names({}, files.look()) == ["one.py"]
    (tmp_path / "none.py").write_text("")
    assert changed_names({}, files.look()) == ["none.py", "one.py"]
