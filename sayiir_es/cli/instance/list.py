"""`sayiir-es instance list` and `count`: find instances by what they are."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import (
    DEFAULT_BACKEND,
    BackendOption,
    StateDirOption,
    in_session,
)
from sayiir_es.cli.instance.criteria import CriteriaOptions, takes_options
from sayiir_es.cli.instance.view import COLUMNS, newest_of
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
    count_by_group,
    newest_instances,
)
from sayiir_es.core.model.errors import UsageError
from sayiir_es.core.status.list_entry import entry_of
from sayiir_es.core.status.search import STRANDED
from sayiir_es.core.status.waits import BY_OWNER, kind_of
from sayiir_es.engine.requests.searching import groups_of
from sayiir_es.operations.instance_view import instance_view
from sayiir_es.operations.text import visible
from sayiir_es.wire.searches import group_parts

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sayiir_es.cli.stored_instances import StoredInstances
    from sayiir_es.core.status.search import Search
    from sayiir_es.wire.searches import Groups


class Group(StrEnum):
    """By what instances are counted."""

    STATUS = "status"
    WORKFLOW = "workflow"
    VERSION = "version"
    ERROR_TYPE = "error-type"
    ERROR = "error"
    WAITING_FOR = "waiting-for"


_GROUPS: dict[Group, Groups] = {
    Group.STATUS: "status",
    Group.WORKFLOW: "workflow",
    Group.VERSION: "version",
    Group.ERROR_TYPE: "error_type",
    Group.ERROR: "error",
    Group.WAITING_FOR: "waiting_for",
}

_PARTS: dict[Group, tuple[str, ...]] = {
    Group.VERSION: ("workflow", "version"),
    Group.ERROR: ("error_type", "error_in"),
}
"""What the key of a group has, if that is more than a name."""


@takes_options("criteria", CriteriaOptions)
def list_instances(
    *,
    criteria: CriteriaOptions,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="The last so many.")
    ] = LIST_LIMIT,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only the ids, one a line.")
    ] = False,
    state_dir: StateDirOption = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """List instances, the last started first, or with `--time updated` changed."""
    search = criteria.search()
    if quiet and output is not Format.TABLE:
        raise UsageError("expected --quiet or --output, but both")
    with _stored_instances(state_dir, search) as stored:
        if stored is None:
            found = in_session(
                url, lambda session: newest_instances(session, search, limit + 1)
            )
            statuses = [one for _, one in found]
        else:
            statuses = newest_of(stored.all(), search, limit + 1)
        if not statuses:
            print_message("no instances", "dim")
        if quiet:
            for one in statuses[:limit]:
                write_line(visible(one.instance_id))
        else:
            print_rows(
                [instance_view(one) for one in statuses[:limit]], COLUMNS, output
            )
        if len(statuses) > limit:
            print_message(f"the last {limit}; for more: --limit", "dim")


@takes_options("criteria", CriteriaOptions)
def count(
    *,
    criteria: CriteriaOptions,
    by: Annotated[Group | None, typer.Option("--by", help="A count for each.")] = None,
    state_dir: StateDirOption = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Count instances."""
    search = criteria.search()
    groups: Groups = "all" if by is None else _GROUPS[by]
    with _stored_instances(state_dir, search) as stored:
        if stored is None:
            counts = in_session(
                url, lambda session: count_by_group(session, search, groups)
            )
        else:
            counts = Counter(
                group
                for instance_id, rows in stored.all()
                if (entry := entry_of(rows, instance_id)) is not None
                and search.matches(entry)
                for group in groups_of(groups, entry, entry.waited)
            )
        _print_counts(counts, by, output)


def _print_counts(counts: Counter[str], by: Group | None, output: Format) -> None:
    if by is not None:
        columns = (*_PARTS.get(by, (by.value,)), "count")
        rows = [
            dict(zip(columns, (*_parts(name, by), many), strict=True))
            for name, many in counts.most_common()
        ]
        print_rows(rows, columns, output)
    elif output is Format.TABLE:
        write_line(str(counts.total()))
    else:
        print_object({"count": counts.total()}, output)


def _parts(key: str, by: Group) -> tuple[str | None, ...]:
    return group_parts(key) if by in _PARTS else (key,)


def _stored_instances(
    state_dir: Path | None, search: Search
) -> AbstractContextManager[StoredInstances | None]:
    """The stores of a directory; None where none is named."""
    if state_dir is None:
        return nullcontext()
    waiting_for = search.waiting_for
    asked = STRANDED if STRANDED in search.statuses else waiting_for
    is_by_owner = waiting_for is not None and kind_of(waiting_for) in BY_OWNER
    if asked == STRANDED or is_by_owner:
        raise UsageError(
            f"expected what a store knows with --state-dir, but {asked}: that depends "
            "on the code of the worker"
        )
    from sayiir_es.cli.stored_instances import (  # noqa: PLC0415 (slow to import)
        StoredInstances,
    )

    return StoredInstances(state_dir)
