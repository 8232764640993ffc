"""The help of a group looks as typer would draw it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import typer
from typer import rich_utils

from sayiir_es.cli.app import command_line
from sayiir_es.cli.group_help import print_group_help
from sayiir_es.cli.lazy_group import LazyGroup
from sayiir_es.cli.verb_table import PROGRAM, VERBS, VerbGroup

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal

GROUPS = [
    "",
    *(name for name, entry in VERBS.entries.items() if isinstance(entry, VerbGroup)),
]


@pytest.mark.parametrize("width", ["40", "60", "100", "140"])
@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.usefixtures("terminal")
def test_a_group_is_drawn_as_typer_draws_it(
    name: str,
    width: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    colour: bool,
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    if colour:
        monkeypatch.delenv("NO_COLOR")
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setattr(rich_utils, "FORCE_TERMINAL", True)
    root = command_line()
    context = typer.Context(root, info_name=PROGRAM, help_option_names=["-h", "--help"])
    group = root
    if name:
        command = root.get_command(context, name)
        assert isinstance(command, LazyGroup)
        group = command
        context = typer.Context(group, info_name=name, parent=context)
    print_group_help(group, context)
    ours = capsys.readouterr().out
    rich_utils.rich_format_help(obj=group, ctx=context, markup_mode="rich")
    assert ours == capsys.readouterr().out


def test_a_mistyped_name_gets_a_suggestion(terminal: Terminal) -> None:
    answer = terminal("instance shwo order-7")
    assert answer.code == 2
    assert "No such command 'shwo'. Did you mean 'show'" in answer.err
