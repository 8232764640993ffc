"""`sayiir-es audit replay`: hold a history, or all that runs, to the code of today."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import (
    DEFAULT_BACKEND,
    BackendOption,
    checked_id,
    in_session,
)
from sayiir_es.cli.failures import FAILED
from sayiir_es.cli.output import Format, OutputOption, print_message, print_rows
from sayiir_es.cli.workflow_modules import load_workflows
from sayiir_es.core.model.errors import UsageError
from sayiir_es.core.status.search import Search
from sayiir_es.core.status.status import StatusName  # noqa: TC001 - typer reads it at run time
from sayiir_es.operations.event_fields import fields_of

if TYPE_CHECKING:
    from sayiir_es.audit.history import History
    from sayiir_es.audit.stranding import StrandingReport
    from sayiir_es.client.session import Session

COLUMNS = ("sequence", "kind", "path", "expected", "seen")
STRANDED_COLUMNS = ("workflow", "version", "path", "count", "example", "reason")


def replay(
    first: Annotated[
        str, typer.Argument(metavar="ID", help="The instance id; or the MODULE alone.")
    ],
    second: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODULE]", help="Importable Python with the workflows of today."
        ),
    ] = None,
    *,
    status: Annotated[
        StatusName | None,
        typer.Option("--status", help="All of that status, not one instance."),
    ] = None,
    workflow: Annotated[
        str | None,
        typer.Option("--workflow", help="All of that workflow, not one instance."),
    ] = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Hold a history, or all that runs, to the workflows of today.

    With an ID: fold its history with this build; exit 1 if the workflow of today would
    not have gone that way. With --status or --workflow, and a MODULE in place of the
    ID: print what would wait for code if workers had the workflows of that module;
    exit 1 if anything would: a gate before a deploy. Task functions are not called.
    """
    if status is None and workflow is None:
        return _replay_one(first, second, url, output)
    if second is not None:
        raise UsageError("expected an ID, or --status and --workflow, but both")
    statuses = () if status is None else (status,)
    search = Search(statuses=statuses, workflow=workflow)
    return _replay_many(first, search, url, output)


def _replay_many(module: str, search: Search, url: str, output: Format) -> int:
    workflows = load_workflows([module])

    async def work(session: Session) -> StrandingReport:
        from sayiir_es.audit.stranding import (  # noqa: PLC0415 (slow to import)
            read_stranded,
        )

        return await read_stranded(session, workflows, search)

    report = in_session(url, work)
    rows: list[dict[str, object]] = [
        {name: getattr(node, name) for name in STRANDED_COLUMNS}
        for node in report.nodes
    ]
    print_rows(rows, STRANDED_COLUMNS, output)
    looked_at = f"{report.instances} instance{'s' * (report.instances != 1)} looked at"
    if rows:
        print_message(f"{looked_at}; {module} would strand some", "bold red")
        return FAILED
    print_message(f"{looked_at}; {module} would strand none", "bold green")
    return 0


def _replay_one(instance_id: str, module: str | None, url: str, output: Format) -> int:
    checked_id(instance_id)
    workflows = [] if module is None else load_workflows([module])

    async def work(session: Session) -> History:
        from sayiir_es.audit.history import (  # noqa: PLC0415 (slow to import)
            read_history,
        )

        return await read_history(session, instance_id)

    history = in_session(url, work)
    from sayiir_es.audit.replay import replay_history  # noqa: PLC0415 (slow to import)

    try:
        comparison = replay_history(history, [one.graph for one in workflows])
    except ValueError as error:
        raise UsageError(str(error)) from error
    rows: list[dict[str, object]] = []
    difference = comparison.difference
    if difference is not None:
        event = fields_of(difference.found)
        rows = [event | {"expected": difference.expected, "seen": difference.seen}]
    print_rows(rows, COLUMNS, output)
    events = f"{comparison.events} event{'s' * (comparison.events != 1)} folded"
    if rows:
        print_message(
            f"{events}; this is the first that {module} would not allow", "bold red"
        )
        return FAILED
    if not comparison.compared:
        print_message(f"{events}; name a MODULE to compare with", "bold green")
        return 0
    changed = "; the definition has changed since" if comparison.changed else ""
    print_message(
        f"{events}: equal to {', '.join(comparison.compared)}{changed}", "bold green"
    )
    return 0
