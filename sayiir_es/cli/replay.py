"""`sayiir-es audit replay`: hold a history to the code of today."""

from __future__ import annotations

from typing import Annotated

import typer

from sayiir_es.audit.history import read_history
from sayiir_es.audit.replay import replayed
from sayiir_es.cli.connection import (
    DEFAULT_BACKEND,
    BackendOption,
    IdArgument,
    checked_id,
    in_session,
)
from sayiir_es.cli.event_lines import shown
from sayiir_es.cli.failures import FAILED
from sayiir_es.cli.output import Format, OutputOption, print_rows, say
from sayiir_es.cli.worker import load_workflows
from sayiir_es.core.model.errors import UsageError

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
    backend: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Fold a history with this build, and hold it to the workflow of today.

    Exit 1 if the workflow of today would not have gone that way: a gate before a
    deploy. Task functions are not called.
    """
    checked_id(instance_id)
    workflows = [] if module is None else load_workflows([module])
    found = in_session(backend, lambda session: read_history(session, instance_id))
    try:
        told = replayed(found, [one.graph for one in workflows])
    except ValueError as error:
        raise UsageError(str(error)) from error
    rows: list[dict[str, object]] = []
    if told.difference is not None:
        difference = told.difference
        event = shown(difference.found)
        rows = [event | {"expected": difference.expected, "seen": difference.seen}]
    print_rows(rows, COLUMNS, output)
    events = f"{told.events} event{'s' * (told.events != 1)} folded"
    if rows:
        say(f"{events}; this is the first that {module} would not allow", "bold red")
        return FAILED
    if not told.compared:
        say(f"{events}; name a MODULE to compare with", "bold green")
        return 0
    changed = "; the definition has changed since" if told.changed else ""
    say(f"{events}: equal to {', '.join(told.compared)}{changed}", "bold green")
    return 0
