"""A workflow whose task names a resource, importable by `worker run`."""

from __future__ import annotations

import sys

from sayiir_es import Flow, task


@task
def price(item: str, *, table: dict[str, int]) -> int:
    return table[item]


async def open_table() -> dict[str, object]:
    """What the task names."""
    return {"table": {"tea": 3}}


def close_table(resources: dict[str, object]) -> None:
    """Says that it was called."""
    sys.stdout.write(f"closed the table of {len(resources)}\n")


pricing = Flow("pricing").then(price).build()
