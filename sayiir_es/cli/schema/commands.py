"""`sayiir-es schema`: the published schemas of commands and events."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.failures import FAILED
from sayiir_es.cli.output import Format, OutputOption, print_rows, say
from sayiir_es.cli.schema.check import FROZEN, check_all, versions_in
from sayiir_es.cli.schema.register import register
from sayiir_es.wire.schema import schema_directory

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

app = typer.Typer(
    help="List, check and publish the schemas of commands and events.",
    epilog="Example: sayiir-es schema list",
    no_args_is_help=True,
)

DirectoryOption = Annotated[
    Path | None,
    typer.Option(
        "--directory",
        metavar="DIR",
        help=f"Of .avsc files, with {FROZEN}/ in it; this build's when left out.",
    ),
]


@app.command("list", epilog="Example: sayiir-es schema list -o jsonl")
def list_schemas(
    *, directory: DirectoryOption = None, output: OutputOption = Format.TABLE
) -> None:
    """List every record: the fingerprint that its bytes begin with, and what it is."""
    rows = [
        {
            "schema": name,
            "fingerprint": versions[-1].fingerprint,
            "kind": name.split(".")[-3],
            "name": name.rpartition(".")[2],
            "versions": len({one.fingerprint for one in versions}),
            "fields": [field.name for field in versions[-1].schema.fields],
            "doc": versions[-1].doc,
        }
        for name, versions in sorted(versions_in(_of(directory)).items())
    ]
    print_rows(rows, ("kind", "name", "fingerprint", "versions", "doc"), output)


@app.command(epilog="Example: sayiir-es schema check")
def check(
    *, directory: DirectoryOption = None, output: OutputOption = Format.TABLE
) -> int:
    """Check that each version of a record reads what every other version wrote."""
    found = check_all(_of(directory))
    bad = [one for one in found if one.problems]
    if output is Format.TABLE:
        shown = [
            {"": "✗", "schema": one.name, "problem": problem}
            for one in bad
            for problem in one.problems
        ]
        print_rows(shown, ("", "schema", "problem"), output)
        if not bad:
            versions = sum(one.versions for one in found)
            say(
                f"✓ {len(found)} schemas, {versions} versions: each reads each", "green"
            )
    else:
        rows = [
            {
                "schema": one.name,
                "versions": one.versions,
                "ok": not one.problems,
                "problems": list(one.problems),
            }
            for one in found
        ]
        print_rows(rows, (), output)
    return FAILED if bad else 0


def _of(directory: Path | None) -> Traversable:
    return schema_directory() if directory is None else directory


app.command(epilog="Example: sayiir-es schema register --dry-run")(register)
