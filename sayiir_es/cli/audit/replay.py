"""`sayiir-es audit replay`: hold a history to the code of today."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import (
    DEFAULT_BACKEND,
    BackendOption,
    IdArgument,
    checked_id,
    in_session,
)
from sayiir_es.cli.event_fields import fields_of
from sayiir_es.cli.failures import FAILED
from sayiir_es.cli.output import Format, OutputOption, print_message, print_rows
from sayiir_es.cli.workflow_modules import load_workflows
from sayiir_es.core.model.errors import UsageError

if TYPE_CHECKING:
    from sayiir_es.audit.history import History
    from sayiir_es.client.session import Session

COLUMNS = ("sequence", "kind", "path", "expected", "seen")


def replay(
    instance_id: IdArgument,
    module: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODULE]", help="Importable Python with the workflow of today."
        ),
    ] = None,
    *,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Fold a history with this build, and hold it to the workflow of today.

    Exit 1 if the workflow of today would not have gone that way: a gate before a
    deploy. Task functions are not called.
    """
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
