"""`sayiir-es instance start`: begin an instance of a published workflow."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import (
    DEFAULT_BACKEND,
    BackendOption,
    checked_id,
    in_session,
)
from sayiir_es.cli.failures import FAILED
from sayiir_es.cli.instance.attributes import attributes_of
from sayiir_es.cli.instance.control import ask_owner
from sayiir_es.cli.instance.view import instance_view
from sayiir_es.cli.output import Format, OutputOption, print_message, print_object
from sayiir_es.cli.typed_json import read_json
from sayiir_es.client.commands import start_command
from sayiir_es.core.model.commands import ConflictPolicy  # noqa: TC001 - typer reads it at run time

if TYPE_CHECKING:
    from sayiir_es.client.session import Session
    from sayiir_es.core.status.status import Status


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
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Start an instance of a workflow, by its name."""
    new_id = instance_id
    if new_id is None:
        new_id = f"{workflow[:100]}-{secrets.token_hex(4)}"
    command = start_command(
        workflow,
        checked_id(new_id),
        read_json(value, "--input"),
        policy=policy,
        attributes=attributes_of(attribute),
    )

    async def work(session: Session) -> Status:
        await ask_owner(session, command)
        if wait:
            print_message(f"waiting for {new_id}", "dim")
            return await session.wait(new_id)
        return await session.get_status(new_id)

    status = in_session(url, work)
    print_object(instance_view(status), output)
    return FAILED if wait and status.status != "completed" else 0
