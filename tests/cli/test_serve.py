"""`serve` as a process: its address, its end, and what it refuses to begin with."""

from __future__ import annotations

import re
import socket
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from sayiir_es.web.server import address_of, listen
from tests.cli.processes import running

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Terminal

READY = "pages and API of"


def _address(words: str) -> str:
    found = re.search(r"on (http://\S+)", words)
    assert found is not None, words
    return found[1]


def test_it_prints_its_address_and_ends_with_a_stream_open(
    terminal: Terminal,
) -> None:
    terminal.make_log()
    typed = ("serve", "--port", "0", "--backend", terminal.backend)
    with running(terminal.cwd / "words", *typed) as process:
        process.until(READY)
        address = _address(process.words())
        with urllib.request.urlopen(f"{address}/login", timeout=10) as page:  # noqa: S310
            assert "<form" in page.read().decode()
        with urllib.request.urlopen(f"{address}/live", timeout=10) as stream:  # noqa: S310
            assert b"event: ready" in stream.readline() + stream.readline()
            assert process.end() == 0
            stream.read()  # ended as it should, not cut off
        assert "ancel" not in process.words()
        assert "Traceback" not in process.words()


def test_it_serves_before_the_log_is_there_and_makes_none(terminal: Terminal) -> None:
    typed = ("serve", "--port", "0", "--backend", terminal.backend)
    with running(terminal.cwd / "words", *typed) as process:
        process.until(READY)
        address = _address(process.words())
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            urllib.request.urlopen(address, timeout=10)  # noqa: S310
        assert "no such file" in refused.value.read().decode()
        assert process.end() == 0
    assert not (terminal.cwd / "log.db").exists()


def test_a_port_that_is_taken_is_told(terminal: Terminal) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        result = terminal(f"serve --port {port}")
    assert result.code == 2
    assert f"port {port} of 127.0.0.1, but another process has it" in result.err


def test_a_host_that_is_none_is_told(terminal: Terminal) -> None:
    result = terminal("serve --port 0 --host no-such-host.invalid")
    assert result.code == 2
    assert "'no-such-host.invalid'" in result.err


def test_without_a_token_others_do_not_reach_it(terminal: Terminal) -> None:
    result = terminal("serve --port 0 --host 0.0.0.0")
    assert result.code == 2
    assert "--token-file" in result.err


def test_a_token_file_that_is_not_there_is_told(terminal: Terminal) -> None:
    result = terminal("serve --port 0 --token-file nowhere")
    assert result.code == 2
    assert "nowhere" in result.err


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "fastapi.py").write_text(
        "raise ModuleNotFoundError('no', name='fastapi')\n"
    )
    words = tmp_path / "words"
    with running(words, "serve", "--port", "0", PYTHONPATH=str(hidden)) as process:
        assert process.wait() == 2
    assert "pip install 'sayiir-es[web]'" in words.read_text()


def test_an_address_can_be_opened_as_it_is_printed() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert address_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
    if socket.has_ipv6:
        with listen("::1", 0) as listener:
            assert address_of(listener) == f"http://[::1]:{listener.getsockname()[1]}"
