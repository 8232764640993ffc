"""The help of a group of commands, as typer draws it, in half of the time.

Typer's own help imports what draws Markdown and tracebacks, which no help of ours
needs. The help of a single command is still typer's; a test holds both to one look.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from rich.columns import Columns
from rich.console import Console
from rich.highlighter import RegexHighlighter
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.theme import Theme
from typer.core import TyperOption

if TYPE_CHECKING:
    from typer._click import Context
    from typer.core import TyperGroup

_THEME = Theme(
    {
        "option": "bold cyan",
        "switch": "bold green",
        "types_sep": "dim",
        "usage": "yellow",
    }
)
_TYPE_STYLE = "bold yellow"
_PANEL_STYLE = "dim"
_COMMAND_STYLE = "bold cyan"


class _Highlighter(RegexHighlighter):
    """Colours options, and the word in front of a usage line."""

    highlights = [  # noqa: RUF012 (rich's own attribute)
        r"(^|\W)(?P<switch>\-\w+)(?![a-zA-Z0-9])",
        r"(^|\W)(?P<option>\-\-[\w\-]+)(?![a-zA-Z0-9])",
        r"(?P<usage>Usage: )",
    ]


class _TypeHighlighter(RegexHighlighter):
    """Dims the brackets around a type."""

    highlights = [r"^(?P<types_sep><)", r"(?P<types_sep>>)(\.\.\.)?$"]  # noqa: RUF012


_highlight = _Highlighter()
_highlight_type = _TypeHighlighter()


def print_group_help(group: TyperGroup, context: Context) -> None:
    """Print usage, options and commands of a group."""
    console = _console()
    console.print(Padding(_highlight(group.get_usage(context)), 1), style="bold")
    console.print(Padding(_highlight(group.help or ""), (0, 1, 1, 1)))
    console.print(_panel("Options", _options(group, context)))
    console.print(_panel("Commands", _commands(group)))
    console.print(Padding(_highlight(group.epilog or ""), 1))


def _console() -> Console:
    """A console of typer's: the same colours, and colour where the same is set."""
    forced = any(map(os.environ.get, ("GITHUB_ACTIONS", "FORCE_COLOR", "PY_COLORS")))
    width = os.environ.get("TERMINAL_WIDTH")
    return Console(
        theme=_THEME,
        highlighter=_highlight,
        force_terminal=True if forced else None,
        width=int(width) if width else None,
    )


def _panel(title: Literal["Options", "Commands"], table: Table) -> Panel:
    return Panel(
        table, border_style=_PANEL_STYLE, title=Text(title), title_align="left"
    )


def _options(group: TyperGroup, context: Context) -> Table:
    """Names, long and short, two columns for their negation, type and help."""
    table = _table(highlight=True)
    for option in group.get_params(context):
        if isinstance(option, TyperOption) and not option.hidden:
            table.add_row(
                _highlight(",".join(name for name in option.opts if "--" in name)),
                _highlight(",".join(name for name in option.opts if "--" not in name)),
                Text(),
                Text(),
                _highlight_type(
                    Text(
                        option.display_type_rich(context) or "",
                        style=_TYPE_STYLE,
                        overflow="fold",
                    )
                ),
                # Columns take the width that the others leave, a text only its own.
                Columns([_highlight(option.help or "")]),
            )
    return table


def _commands(group: TyperGroup) -> Table:
    table = _table(highlight=False)
    width = max(map(len, group.commands))
    table.add_column(style=_COMMAND_STYLE, no_wrap=True, width=width)
    table.add_column(ratio=10)
    for name, command in group.commands.items():
        table.add_row(Text(name), _highlight(command.help or ""))
    return table


def _table(*, highlight: bool) -> Table:
    return Table(
        highlight=highlight,
        show_header=False,
        expand=True,
        box=None,
        pad_edge=False,
        padding=(0, 1),
    )
