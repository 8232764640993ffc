"""`sayiir-es instance show` and `result`: what an instance is at, what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import (
    DEFAULT_BACKEND,
    BackendOption,
    IdArgument,
    StateDirOption,
    checked_id,
    in_session,
)
from sayiir_es.cli.failures import not_found
from sayiir_es.cli.instance.view import instance_view
from sayiir_es.cli.output import Format, OutputOption, print_object
from sayiir_es.cli.stdout import write_line
from sayiir_es.cli.text import payload_value, to_json
from sayiir_es.core.model.errors import NotFoundError, WorkflowError
from sayiir_es.core.status.status import ENDED, Status

if TYPE_CHECKING:
    from sayiir_es.client.session import Session


def show(
    instance_id: IdArgument,
    *,
    state_dir: StateDirOption = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show an instance: its status, and what it waits for."""
    checked_id(instance_id)
    if state_dir is None:
        status = in_session(url, lambda session: session.find_status(instance_id))
    else:
        from sayiir_es.cli.stored_instances import (  # noqa: PLC0415 (slow to import)
            stored_status,
        )

        status = stored_status(state_dir, instance_id)
    if status is None:
        raise not_found(instance_id)
    print_object(instance_view(status), output)


def result(
    instance_id: IdArgument,
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it has ended.")
    ] = False,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Print the output of a completed instance, as JSON."""
    checked_id(instance_id)

    async def work(session: Session) -> Status:
        status = await session.find_status(instance_id)
        if status is None:
            raise not_found(instance_id)
        return await session.wait(instance_id) if wait else status

    status = in_session(url, work)
    if status.status != "completed":
        reason = status.error or status.reason or f"it waits for {status.waiting_for}"
        failure = WorkflowError if status.status in ENDED else NotFoundError
        raise failure(
            f"expected {instance_id!r} to have completed, but it is {status.status}: "
            f"{reason}"
        )
    value = payload_value(status.output or b"null")
    write_line(to_json(value, indent=None if output is Format.JSONL else 2))
