"""`sayiir-es schema register`: give a schema registry every published schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.output import Format, OutputOption, print_message, print_rows
from sayiir_es.core.model.errors import UsageError
from sayiir_es.wire.confluent_frames import published_schemas, register_all
from sayiir_es.wire.schema import HEAD_BYTES, MAGIC, parse_record
from sayiir_es.wire.schema_registry import SchemaRegistry

if TYPE_CHECKING:
    from collections.abc import Mapping

_COLUMNS = ("subject", "fingerprint", "id")


def register(
    *,
    registry: Annotated[
        str | None,
        typer.Option(
            "--registry",
            metavar="URL",
            envvar="SAYIIR_SCHEMA_REGISTRY_URL",
            help="http(s)://[USER:PASSWORD@]HOST[:PORT].",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Ask nobody; show what would be there.")
    ] = False,
    output: OutputOption = Format.TABLE,
) -> None:
    """Register every schema under its full name; those that are there stay."""
    if dry_run:
        heads = {
            parse_record(text).head: subject for subject, text in published_schemas()
        }
        rows = [_row(subject, head, None) for head, subject in heads.items()]
    elif registry is None:
        raise UsageError(
            "expected --registry URL or SAYIIR_SCHEMA_REGISTRY_URL, but neither is set"
        )
    else:
        client = SchemaRegistry(registry)
        schemas = register_all(client)
        rows = [_row(one.subject, one.head, one.schema_id) for one in schemas]
        print_message(f"{client.url} has {len(rows)} schemas of ours")
    print_rows(rows, _COLUMNS, output)


def _row(subject: str, head: bytes, schema_id: int | None) -> Mapping[str, object]:
    fingerprint = head[len(MAGIC) : HEAD_BYTES].hex()
    return {"subject": subject, "fingerprint": fingerprint, "id": schema_id}
