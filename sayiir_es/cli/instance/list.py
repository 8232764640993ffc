"""`sayiir-es instance list` and `count`: find instances by what they are."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import (
    DEFAULT_BACKEND,
    BackendOption,
    StateDirOption,
    in_session,
)
from sayiir_es.cli.instance.attributes import attributes_of
from sayiir_es.cli.instance.view import COLUMNS, instance_view, newest_of
from sayiir_es.cli.output import (
    Format,
    OutputOption,
    print_message,
    print_object,
    print_rows,
)
from sayiir_es.cli.stdout import write_line
from sayiir_es.client.search import (
    LIST_LIMIT,
    Search,
    TimeName,
    count_by_group,
    newest_instances,
    search_of,
)
from sayiir_es.core.model.errors import UsageError
from sayiir_es.core.model.rows import Rows, get_run
from sayiir_es.core.status.status import StatusName, status_name
from sayiir_es.engine.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Group(StrEnum):
    """By what instances are counted."""

    STATUS = "status"
    WORKFLOW = "workflow"


_GROUPS: dict[Group | None, Callable[[Rows], str]] = {
    None: lambda _: "",
    Group.STATUS: lambda rows: status_name(rows) or "",
    Group.WORKFLOW: lambda rows: run.workflow if (run := get_run(rows)) else "",
}

StatusOption = Annotated[
    StatusName | None, typer.Option("--status", help="Only those.")
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
TimeOption = Annotated[
    TimeName,
    typer.Option("--time", help="When they were started, or last changed."),
]


def list_instances(  # noqa: PLR0913 (one parameter an option)
    *,
    status: StatusOption = None,
    workflow: WorkflowOption = None,
    attribute: AttributeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    time: TimeOption = "started",
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="The last so many.")
    ] = LIST_LIMIT,
    state_dir: StateDirOption = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """List instances, the last started first, or with `--time updated` changed."""
    search = _search(status, workflow, attribute, since, until, time)
    if state_dir is None:
        statuses = in_session(
            url, lambda session: newest_instances(session, search, limit)
        )
    else:
        statuses = newest_of(_stored_instances(state_dir), search, limit)
    if not statuses:
        print_message("no instances", "dim")
    print_rows([instance_view(one) for one in statuses], COLUMNS, output)


def count(  # noqa: PLR0913 (one parameter an option)
    *,
    status: StatusOption = None,
    workflow: WorkflowOption = None,
    attribute: AttributeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    time: TimeOption = "started",
    by: Annotated[Group | None, typer.Option("--by", help="A count for each.")] = None,
    state_dir: StateDirOption = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Count instances."""
    search = _search(status, workflow, attribute, since, until, time)
    group = _GROUPS[by]
    if state_dir is None:
        counts = in_session(url, lambda session: count_by_group(session, search, group))
    else:
        counts = Counter(
            group(rows)
            for _, rows in _stored_instances(state_dir)
            if search.found_at(rows) is not None
        )
    if by is not None:
        rows = [{by.value: name, "count": many} for name, many in counts.most_common()]
        print_rows(rows, (by.value, "count"), output)
    elif output is Format.TABLE:
        write_line(str(counts.total()))
    else:
        print_object({"count": counts.total()}, output)


def _stored_instances(state_dir: Path) -> Iterator[tuple[str, Rows]]:
    from sayiir_es.cli.stored_instances import (  # noqa: PLC0415 (slow to import)
        stored_instances,
    )

    return stored_instances(state_dir)


def _search(
    status: str | None,
    workflow: str | None,
    attribute: list[str] | None,
    since: str | None,
    until: str | None,
    time: TimeName,
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
            },
            now_ms=SystemClock().now_ms(),
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
