"""`sayiir-es error`: each code has a page, which needs no checkout and no network."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model import errors
from tests.tree import ROOT

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal

CODES = sorted(path.stem for path in (ROOT / "docs" / "errors").glob("*.md"))


@pytest.mark.parametrize("code", CODES)
def test_a_pipe_gets_the_page_as_it_is(terminal: Terminal, code: str) -> None:
    result = terminal(f"error {code}")
    page = (ROOT / "docs" / "errors" / f"{code}.md").read_text(encoding="utf-8")
    assert (result.code, result.out) == (0, page)


def test_a_terminal_gets_it_without_markup_and_dead_links(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    result = terminal("error command_refused")
    assert result.code == 0
    assert "What to do" in result.out
    for markup in ("##", "`", "](", ".md"):
        assert markup not in result.out


def test_an_unknown_code_is_a_usage_error_that_lists_the_codes(
    terminal: Terminal,
) -> None:
    result = terminal("error nonsense")
    assert (result.code, result.out) == (2, "")
    for code in CODES:
        assert code in result.err
    assert "'nonsense'" in result.err


def test_without_a_code_it_lists_them(terminal: Terminal) -> None:
    assert terminal("error").out.split() == CODES


def test_an_error_names_the_command_that_explains_it(terminal: Terminal) -> None:
    terminal.make_log()
    result = terminal("instance show nobody")
    assert result.code == 3
    assert f"see `sayiir-es error {errors.NotFoundError.code}`" in result.err


def test_an_instance_that_is_not_there_is_exit_code_3(terminal: Terminal) -> None:
    for typed in ("instance cancel nobody", "instance fork nobody --at 1 --new-id b"):
        assert terminal(typed).code == 3, typed
