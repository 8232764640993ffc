"""`sayiir-es error`: the page of an error code, from the package itself."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sayiir_es.cli.stdout import write_line
from sayiir_es.core.model.errors import UsageError
from sayiir_es.operations.error_codes import error_codes, error_page, without_links


def show(
    code: Annotated[
        str | None,
        typer.Argument(
            metavar="[CODE]", help="As in `error CODE: …`; all if left out."
        ),
    ] = None,
) -> None:
    """Print the page of an error code: its cause, and what to do."""
    codes = error_codes()
    if code is None:
        for name in codes:
            write_line(name)
        return
    name = code.removesuffix(".md")
    if name not in codes:
        known = ", ".join(codes)
        raise UsageError(f"expected an error code of {known}, but {code!r}")
    text = error_page(name)
    if not sys.stdout.isatty():
        write_line(text.rstrip("\n"))
        return
    from sayiir_es.cli.console import show_markdown  # noqa: PLC0415 (slow to import)

    show_markdown(without_links(text))
