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
from sayiir_es.cli.instance.view import print_status
from sayiir_es.cli.instance.waiting import (
    TimeoutOption,
    not_ended,
    timeout_seconds,
)
from sayiir_es.cli.output import Format, OutputOption
from sayiir_es.cli.stdout import write_line
from sayiir_es.core.model.errors import NotFoundError, WorkflowError
from sayiir_es.core.status.status import ENDED, Status
from sayiir_es.operations.text import payload_value, to_json

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
            StoredInstances,
        )

        with StoredInstances(state_dir) as stored:
            status = stored.status(instance_id)
            if status is not None:
                print_status(status, output)
                return
    if status is None:
        raise not_found(instance_id)
    print_status(status, output)


def result(
    instance_id: IdArgument,
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it has ended.")
    ] = False,
    timeout: TimeoutOption = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Print the output of a completed instance, as JSON."""
    checked_id(instance_id)
    timeout_s = timeout_seconds(timeout, wait=wait)

    async def work(session: Session) -> Status:
        status = await session.find_status(instance_id)
        if status is None:
            raise not_found(instance_id)
        if not wait:
            return status
        try:
            return await session.wait(instance_id, timeout_s=timeout_s)
        except TimeoutError:
            return await session.get_status(instance_id)

    status = in_session(url, work)
    if wait and status.status not in ENDED:
        return not_ended(status, timeout)
    if status.status != "completed":
        reason = status.error or status.reason or f"it waits for {status.waiting_for}"
        failure = WorkflowError if status.status in ENDED else NotFoundError
        raise failure(
            f"expected {instance_id!r} to have completed, but it is {status.status}: "
            f"{reason}"
        )
    value = payload_value(status.output or b"null")
    write_line(to_json(value, indent=None if output is Format.JSONL else 2))
    return 0
