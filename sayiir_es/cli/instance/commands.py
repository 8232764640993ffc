"""`sayiir-es instance`: start, look at and steer instances."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import (
    DEFAULT_BACKEND,
    BackendOption,
    IdArgument,
    checked_id,
    in_session,
)
from sayiir_es.cli.failures import FAILED, not_found
from sayiir_es.cli.instance import control
from sayiir_es.cli.instance.history import history
from sayiir_es.cli.instance.list import (
    StateDirOption,
    attributes_of,
    count,
    list_instances,
)
from sayiir_es.cli.instance.state import diff, state
from sayiir_es.cli.instance.view import instance_view
from sayiir_es.cli.output import (
    Format,
    OutputOption,
    payload_value,
    print_object,
    say,
    to_json,
    write_line,
)
from sayiir_es.cli.store_reading import stored_status
from sayiir_es.cli.typed_json import read_json
from sayiir_es.client.commands import start_command
from sayiir_es.core.model.commands import ConflictPolicy  # noqa: TC001 - typer reads it at run time
from sayiir_es.core.model.errors import NotFoundError, WorkflowError
from sayiir_es.core.status.status import ENDED, Status

if TYPE_CHECKING:
    from sayiir_es.client.session import Session

app = typer.Typer(
    help="Start, look at and steer instances.",
    epilog="Example: sayiir-es instance list",
    no_args_is_help=True,
)


@app.command(
    epilog="Example: sayiir-es instance start orders --id order-7 "
    '--input \'{"item":"teapot","amount":5}\''
)
def start(  # noqa: PLR0913 (one parameter an option)
    workflow: Annotated[
        str, typer.Argument(metavar="NAME", help="A published workflow.")
    ],
    *,
    instance_id: Annotated[
        str | None, typer.Option("--id", help="Its id; made up when left out.")
    ] = None,
    value: Annotated[
        str,
        typer.Option(
            "--input", metavar="JSON|@FILE", help="Its input; @- reads stdin."
        ),
    ] = "null",
    policy: Annotated[
        ConflictPolicy,
        typer.Option("--conflict-policy", help="What an existing instance means."),
    ] = "fail",
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            "--attribute",
            metavar="KEY=VALUE",
            help="To search by; may be repeated.",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it has ended; a worker runs it.")
    ] = False,
    backend: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Start an instance of a workflow, by its name."""
    chosen = instance_id
    if chosen is None:
        chosen = f"{workflow[:100]}-{secrets.token_hex(4)}"
    command = start_command(
        workflow,
        checked_id(chosen),
        read_json(value, "--input"),
        policy=policy,
        attributes=attributes_of(attribute),
    )

    async def work(session: Session) -> Status:
        await control.answer_of(session, command)
        if wait:
            say(f"waiting for {chosen}", "dim")
            return await session.wait(chosen)
        return await session.get_status(chosen)

    found = in_session(backend, work)
    print_object(instance_view(found), output)
    return FAILED if wait and found.status != "completed" else 0


app.command("list", epilog="Example: sayiir-es instance list --status completed")(
    list_instances
)
app.command(epilog="Example: sayiir-es instance count --by status")(count)


@app.command(epilog="Example: sayiir-es instance show order-7 -o json")
def show(
    instance_id: IdArgument,
    *,
    state_dir: StateDirOption = None,
    backend: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show an instance: its status, and what it waits for."""
    checked_id(instance_id)
    if state_dir is None:
        found = in_session(backend, lambda session: session.find_status(instance_id))
    else:
        found = stored_status(state_dir, instance_id)
    if found is None:
        raise not_found(instance_id)
    print_object(instance_view(found), output)


@app.command(epilog="Example: sayiir-es instance result order-7")
def result(
    instance_id: IdArgument,
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it has ended.")
    ] = False,
    backend: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Print the output of a completed instance, as JSON."""
    checked_id(instance_id)

    async def work(session: Session) -> Status:
        found = await session.find_status(instance_id)
        if found is None:
            raise not_found(instance_id)
        return await session.wait(instance_id) if wait else found

    found = in_session(backend, work)
    if found.status != "completed":
        why = found.error or found.reason or f"it waits for {found.waiting_for}"
        failure = WorkflowError if found.status in ENDED else NotFoundError
        raise failure(
            f"expected {instance_id!r} to have completed, but it is {found.status}: "
            f"{why}"
        )
    value = payload_value(found.output or b"null")
    write_line(to_json(value, indent=None if output is Format.JSONL else 2))


for _verb, _example in (
    (history, "history order-7"),
    (state, "state order-7 --at 3"),
    (diff, "diff order-7 2 4"),
    (control.signal, "signal order-7 approval --payload '{\"ok\":true}'"),
    (control.pause, "pause order-7 --reason audit"),
    (control.unpause, "unpause order-7"),
    (control.cancel, "cancel order-7 --reason withdrawn"),
    (control.retry, "retry order-7"),
    (control.fork, "fork order-7 --at 2 --new-id order-7b"),
):
    app.command(epilog=f"Example: sayiir-es instance {_example}")(_verb)
