"""The reference of the command line: of the table of verbs, and of typer's options."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

import typer
from markdown_text import code, plain, table
from typer.core import TyperArgument, TyperOption

from sayiir_es.cli.app import command_line
from sayiir_es.cli.lazy_group import LazyGroup
from sayiir_es.cli.verb_table import PROGRAM, VERBS, Verb, VerbGroup

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from typer._click import Context

Option: TypeAlias = "tuple[str, str, str, str]"
"""Its names, what it takes, its default, and its help: a row of a table."""

SHARED_BY = 0.5
"""What more than this share of the verbs have is shown once, at the top."""


def command_line_reference(argument: str) -> str:
    """Every verb with its arguments and options."""
    del argument
    root = command_line()
    verbs = list(_verbs(VERBS, root, typer.Context(root, info_name=PROGRAM)))
    counts = Counter(row for _, context in verbs for row in _options(context))
    shared = [row for row, count in counts.items() if count > SHARED_BY * len(verbs)]
    return "\n\n".join(
        (
            "## Options of most commands",
            _option_table(shared),
            *_group(VERBS, "", dict(verbs), shared),
        )
    )


def _verbs(
    table_: VerbGroup, group: LazyGroup, context: Context
) -> Iterator[tuple[str, Context]]:
    """The context of each verb, by its name with those of its groups."""
    for name, entry in table_.entries.items():
        command = group.get_command(context, name)
        assert command is not None
        below = typer.Context(command, info_name=name, parent=context)
        if isinstance(entry, VerbGroup):
            assert isinstance(command, LazyGroup)
            yield from _verbs(entry, command, below)
        else:
            yield below.command_path.removeprefix(f"{PROGRAM} "), below


def _group(
    group: VerbGroup, prefix: str, verbs: dict[str, Context], shared: Sequence[Option]
) -> Iterator[str]:
    for name, entry in group.entries.items():
        path = f"{prefix}{name}"
        if isinstance(entry, VerbGroup):
            yield f"## {path}"
            yield plain(entry.help)
            yield from _group(entry, f"{path} ", verbs, shared)
        else:
            yield f"{'###' if prefix else '##'} {path}"
            yield from _verb(entry, verbs[path], shared)


def _verb(verb: Verb, context: Context, shared: Sequence[Option]) -> Iterator[str]:
    yield from (plain(text) for text in (context.command.help or "").split("\n\n"))
    usage = context.command.get_usage(context).removeprefix("Usage: ")
    yield f"```sh\n{' '.join(usage.split())}\n```"
    yield table(
        ("argument", "is"),
        (
            (code(one.metavar or one.name), plain(one.help or ""))
            for one in context.command.get_params(context)
            if isinstance(one, TyperArgument)
        ),
    )
    options = _options(context)
    yield _option_table([row for row in options if row not in shared])
    also = [row[0].partition(",")[0] for row in options if row in shared]
    if also:
        yield f"Also {', '.join(also)}."
    yield f"Example:\n\n```sh\n{PROGRAM} {verb.example}\n```"


def _option_table(rows: Sequence[Option]) -> str:
    return table(("option", "takes", "default", "is"), rows)


def _options(context: Context) -> list[Option]:
    return [
        (
            ", ".join(code(name) for name in (*one.opts, *one.secondary_opts)),
            "" if one.is_flag else code(_metavar(one, context)),
            _default(one),
            plain(one.help or ""),
        )
        for one in context.command.get_params(context)
        if isinstance(one, TyperOption) and not one.hidden
    ]


def _metavar(option: TyperOption, context: Context) -> str:
    text = option.metavar or option.display_type_rich(context) or ""
    return text.strip("<>").replace("int range", "int").replace("float range", "float")


def _default(option: TyperOption) -> str:
    if option.required:
        return "required"
    variable = f" or {code(option.envvar)}" if option.envvar else ""
    value: object = option.default
    if isinstance(value, Enum):
        value = value.value
    if value is None or value is False or value == [] or callable(value):
        return variable.removeprefix(" or ")
    return f"{code(value)}{variable}"
