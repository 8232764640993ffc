"""A plain value becomes what typer would make of it; the rest is left to typer."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import pytest
import typer
from typer.core import TyperArgument, TyperOption
from typer.main import get_command

from sayiir_es.cli.plain_values import NOT_PLAIN, plain_value, take_plain_values

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal


class Colour(StrEnum):
    """A choice."""

    RED = "red"
    BLUE = "blue"


def command(  # noqa: PLR0913 (one parameter a type)
    text: str,
    *,
    word: Literal["fail", "go"] = "fail",
    colour: Colour | None = None,
    number: Annotated[int, typer.Option(min=1, max=50)] = 5,
    any_number: int | None = None,
    flag: bool = False,
    texts: Annotated[list[str] | None, typer.Option("--texts")] = None,
    path: Annotated[Path | None, typer.Option("--path")] = None,
) -> None:
    """A command with a parameter of each type that ours have."""


TYPED = [
    *("/", ".", __file__, "no/such/path"),
    *("", "red", "RED", "fail", "5", "05", "0", "50", "51", "-3", "+5", " 5", "5.0"),
    *("٣", "1" * 18, "1" * 30, "true", "no", "x y", "é\x1b", None, 7, True),
    *(("a", "b"), ["a"], (), ["a", 1], Colour.RED),
]


@pytest.mark.parametrize("typed", TYPED, ids=repr)
@pytest.mark.parametrize(
    "name", ["text", "word", "colour", "number", "any_number", "flag", "texts", "path"]
)
def test_a_value_becomes_what_typer_makes_of_it(name: str, typed: object) -> None:
    app = typer.Typer(add_completion=False)
    app.command()(command)
    typers, ours = get_command(app), get_command(app)
    take_plain_values(ours.params)
    results: list[object] = []
    for one in (typers, ours):
        (parameter,) = (p for p in one.params if p.name == name)
        assert isinstance(parameter, TyperArgument | TyperOption)
        try:
            value: object = parameter.get_runtime_param().coerce(
                typed, parameter, typer.Context(one)
            )
            results.append((type(value).__name__, value))
        except typer.TyperException as error:
            results.append(error.format_message())
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("annotation", "typed", "value"),
    [
        (str, "a", "a"),
        (int, "7", 7),
        (Colour, "blue", Colour.BLUE),
        (Literal["a", "b"], "b", "b"),
        (list[str], ("a", "b"), ["a", "b"]),
        (Path, "no/such/path", Path("no/such/path")),
        (int, "seven", NOT_PLAIN),
        (int, "9", NOT_PLAIN),
        (Colour, "green", NOT_PLAIN),
    ],
)
def test_what_is_plain_needs_no_library(
    annotation: object, typed: object, value: object
) -> None:
    assert plain_value(annotation, typed, least=1, most=8) == value


def test_a_wrong_number_gets_typers_error(terminal: Terminal) -> None:
    assert "--limit" in terminal("instance list --limit 0").err
    assert "--limit" in terminal("instance list --limit ten").err
