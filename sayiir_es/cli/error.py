"""`sayiir-es error`: the page of an error code, from the package itself."""

from __future__ import annotations

import re
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.stdout import write_line
from sayiir_es.core.model.errors import UsageError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

LINK = re.compile(r"\[([^\]]*)\]\((?![a-z]+:)[^)]*\)")
"""A link to another page of the manual, which a terminal cannot follow."""


def show(
    code: Annotated[
        str | None,
        typer.Argument(
            metavar="[CODE]", help="As in `error CODE: …`; all if left out."
        ),
    ] = None,
) -> None:
    """Print the page of an error code: its cause, and what to do."""
    pages = {
        entry.name.removesuffix(".md"): entry
        for entry in _directory().iterdir()
        if entry.name.endswith(".md")
    }
    if code is None:
        for name in sorted(pages):
            write_line(name)
        return
    page = pages.get(code.removesuffix(".md"))
    if page is None:
        known = ", ".join(sorted(pages))
        raise UsageError(f"expected an error code of {known}, but {code!r}")
    text = page.read_text(encoding="utf-8")
    if not sys.stdout.isatty():
        write_line(text.rstrip("\n"))
        return
    from sayiir_es.cli.console import show_markdown  # noqa: PLC0415 (slow to import)

    show_markdown(LINK.sub(r"\1", text))


def _directory() -> Traversable:
    """Where the pages are: in the installed package or the checkout."""
    packaged = resources.files("sayiir_es.cli") / "error_pages"
    if packaged.is_dir():
        return packaged
    return Path(__file__).resolve().parents[2] / "docs" / "errors"
