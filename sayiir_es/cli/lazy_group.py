"""Groups of commands whose functions are imported when one of them is called.

Theory of operation. A group knows the names of its commands, and for each a placeholder
with the text of its help: that is all that help, suggestions for a mistyped name and
completion need. The command itself is built when it is asked for by its name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from sayiir_es.cli.environment import is_json_wanted
from sayiir_es.cli.plain_values import take_plain_values
from sayiir_es.cli.verb_table import PROGRAM, Verb, VerbGroup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typer._click import Command, Context, HelpFormatter, Parameter

    from sayiir_es.cli.verb_table import Entry

_PACKAGE = "sayiir_es.cli"


class _Command(TyperCommand):
    """A command that turns plain values without a library."""

    def invoke(self, ctx: Context) -> object:
        """Call its function."""
        try:
            result: object = super().invoke(ctx)
        except KeyboardInterrupt:
            if is_json_wanted():  # else an empty line is printed, behind a `^C`
                raise typer.Abort from None
            raise
        return result

    def get_params(self, ctx: Context) -> list[Parameter]:
        """The parameters, the option for help too."""
        parameters = super().get_params(ctx)
        take_plain_values(parameters)
        return parameters


class LazyGroup(TyperGroup):
    """A group whose commands are those of a table."""

    _entries: Mapping[str, Entry]

    @classmethod
    def of(cls, name: str, table: VerbGroup) -> LazyGroup:
        """The group of a table."""
        group = cls(
            name=name,
            help=table.help,
            epilog=epilog_of(table),
            no_args_is_help=True,
        )
        group.fill(table)
        return group

    def fill(self, table: VerbGroup) -> None:
        """Take the commands of a table, in place of any others."""
        self._entries = table.entries
        self.commands = {
            name: TyperCommand(name, help=entry.help)
            for name, entry in table.entries.items()
        }

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """Import the function of a command; None if there is no such command."""
        del ctx
        entry = self._entries.get(cmd_name)
        match entry:
            case None:
                return None
            case VerbGroup():
                return LazyGroup.of(cmd_name, entry)
            case Verb():
                return _import_command(cmd_name, entry)

    def get_params(self, ctx: Context) -> list[Parameter]:
        """The parameters, the option for help too."""
        parameters = super().get_params(ctx)
        take_plain_values(parameters)
        return parameters

    def format_help(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Print the help of the group."""
        del formatter
        from sayiir_es.cli.group_help import (  # noqa: PLC0415 (slow to import)
            print_group_help,
        )

        print_group_help(self, ctx)


def epilog_of(entry: Entry) -> str:
    """The last line of the help of a command."""
    return f"Example: {PROGRAM} {entry.example}"


def _import_command(name: str, verb: Verb) -> Command:
    from sayiir_es.cli.connection import (  # noqa: PLC0415 (needed by commands alone)
        with_kafka_config,
    )

    module, _, function = verb.function.partition(":")
    app = typer.Typer(add_completion=False)
    app.command(name, cls=_Command, epilog=epilog_of(verb))(
        with_kafka_config(getattr(import_module(f"{_PACKAGE}.{module}"), function))
    )
    return get_command(app)
