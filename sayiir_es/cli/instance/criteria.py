"""The options by which commands find instances, and the search that they mean."""

from __future__ import annotations

from typing import Annotated

import typer

from sayiir_es.cli.instance.attributes import attributes_of
from sayiir_es.client.search import search_of
from sayiir_es.core.model.errors import UsageError
from sayiir_es.core.status.search import Search, TimeName
from sayiir_es.core.status.status import StatusFilter
from sayiir_es.engine.clock import SystemClock

StatusOption = Annotated[
    StatusFilter | None, typer.Option("--status", help="Only those.")
]
WorkflowOption = Annotated[
    str | None, typer.Option("--workflow", help="Only of that workflow.")
]
AttributeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--attribute",
        metavar="KEY=VALUE",
        help="Only those started with it; may be repeated.",
    ),
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="10m|TIME", help="From then on: so long ago, or ISO-8601."
    ),
]
UntilOption = Annotated[
    str | None, typer.Option("--until", metavar="10m|TIME", help="Before then.")
]
ErrorTypeOption = Annotated[
    str | None,
    typer.Option(
        "--error-type", metavar="NAME", help="Only those whose error is of that type."
    ),
]
TimeOption = Annotated[
    TimeName,
    typer.Option("--time", help="When they were started, or last changed."),
]


def search_by(  # noqa: PLR0913, PLR0917 (one parameter an option)
    status: str | None,
    workflow: str | None,
    attribute: list[str] | None,
    since: str | None,
    until: str | None,
    time: TimeName,
    error_type: str | None,
) -> Search:
    """What the options ask for.

    Raises:
        UsageError: if an attribute or a time is none.
    """
    try:
        return search_of(
            {
                "status": status,
                "workflow": workflow,
                "attributes": attributes_of(attribute),
                "since": since,
                "until": until,
                "by": time,
                "error_type": error_type,
            },
            now_ms=SystemClock().now_ms(),
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
