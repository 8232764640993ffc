"""`sayiir-es worker list`: who is there, what it can run, and what it runs now."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sayiir_es.cli.connection import DEFAULT_BACKEND, BackendOption, in_session
from sayiir_es.cli.output import Format, OutputOption, print_message, print_rows
from sayiir_es.operations.partition_view import worker_view

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sayiir_es.client.session import Session

_COLUMNS = (
    *("worker", "build", "partitions", "slots", "queued", "tags", "workflows"),
    "refused",
)


def list_workers(
    *, url: BackendOption = DEFAULT_BACKEND, output: OutputOption = Format.TABLE
) -> None:
    """List the workers: build, partitions, slots, queue, tags and workflows."""

    async def read(session: Session) -> list[dict[str, object]]:
        from sayiir_es.client.partitions import (  # noqa: PLC0415 (slow to import)
            describe_workers,
        )

        return [worker_view(worker) for worker in await describe_workers(session)]

    rows = in_session(url, read)
    if not rows:
        print_message("no workers", "dim")
    if output is Format.TABLE:
        rows = [_for_people(row) for row in rows]
    print_rows(rows, _COLUMNS, output)


def _for_people(row: dict[str, object]) -> dict[str, object]:
    """As a table shows it: lists in one line, and slots as used of all."""
    used = "" if row["slots"] is None else f"{row['slots_used']}/{row['slots']}"
    tags = "any" if row["tags"] is None else _joined(row["tags"])
    return {
        **row,
        "build": row["build"] or "",
        "partitions": _joined(row["partitions"]),
        "slots": used,
        "queued": "" if row["queued"] is None else row["queued"],
        "tags": tags,
        "workflows": _joined(row["workflows"]),
        "refused": _joined(row["refused"]),
    }


def _joined(values: object) -> str:
    if not isinstance(values, list | dict):
        return ""
    return ", ".join(map(str, cast("Iterable[object]", values)))
