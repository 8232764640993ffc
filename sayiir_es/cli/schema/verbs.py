"""`sayiir-es schema list` and `check`: the published schemas of commands and events."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.failures import FAILED
from sayiir_es.cli.output import Format, OutputOption, print_message, print_rows
from sayiir_es.operations.schema_check import FROZEN, check_all, versions_in
from sayiir_es.wire.schema import schema_directory

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


DirectoryOption = Annotated[
    Path | None,
    typer.Option(
        "--directory",
        metavar="DIR",
        help=f"Of .avsc files, with {FROZEN}/ in it; this build's when left out.",
    ),
]


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


def check(
    *, directory: DirectoryOption = None, output: OutputOption = Format.TABLE
) -> int:
    """Check that each version of a record reads what every other version wrote."""
    records = check_all(_of(directory))
    bad = [record for record in records if record.problems]
    if output is Format.TABLE:
        rows: list[dict[str, object]] = [
            {"": "✗", "schema": record.name, "problem": problem}
            for record in bad
            for problem in record.problems
        ]
        print_rows(rows, ("", "schema", "problem"), output)
        if not bad:
            versions = sum(record.versions for record in records)
            print_message(
                f"✓ {len(records)} schemas, {versions} versions: each reads each",
                "green",
            )
    else:
        rows = [
            {
                "schema": record.name,
                "versions": record.versions,
                "ok": not record.problems,
                "problems": list(record.problems),
            }
            for record in records
        ]
        print_rows(rows, (), output)
    return FAILED if bad else 0


def _of(directory: Path | None) -> Traversable:
    return schema_directory() if directory is None else directory
