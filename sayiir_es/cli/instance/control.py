"""The verbs of `sayiir-es instance` that ask the owner for a decision."""

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
from sayiir_es.cli.environment import user_name
from sayiir_es.cli.instance.bulk import (
    BulkOptions,
    OptionalIdArgument,
    check_target,
    send_to_matching,
    takes_bulk_options,
)
from sayiir_es.cli.output import Format, OutputOption, print_object
from sayiir_es.cli.stdout import write_line
from sayiir_es.cli.typed_json import read_json
from sayiir_es.client.commands import Migration, fork_command, new_command_id
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    Command,
    PauseWorkflow,
    RetryWorkflow,
    SendSignal,
    UnpauseWorkflow,
)
from sayiir_es.core.model.errors import UsageError
from sayiir_es.operations.owner_answers import ask_owner

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.client.session import Session
    from sayiir_es.wire.requests import Decided

READ_WAIT_S = 1.0

ReasonOption = Annotated[
    str | None, typer.Option("--reason", help="Recorded in the event.")
]
ByOption = Annotated[
    str | None,
    typer.Option("--by", help="Who asks, recorded too; else the user's name."),
]


@takes_bulk_options
def signal(  # noqa: PLR0913 (one parameter an option)
    first: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="The instance id; leave it out for criteria."
        ),
    ],
    second: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The signal's name.")
    ] = None,
    *,
    bulk: BulkOptions,
    payload: Annotated[
        str,
        typer.Option("--payload", metavar="JSON|@FILE", help="What it carries."),
    ] = "null",
    signal_id: Annotated[
        str | None,
        typer.Option("--signal-id", help="Makes it idempotent: the second is known."),
    ] = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Send a signal; it is buffered until a wait takes it.

    With criteria in place of the id: to all that match and have not ended.
    """
    instance_id, name = (None, first) if second is None else (first, second)
    if instance_id is None and not bulk.has_criteria:
        raise UsageError("expected an ID and the signal's NAME, but one of them")
    data = read_json(payload, "--payload")
    checked_id(name)

    def make(instance_id: str) -> Command:
        return SendSignal(
            instance_id=instance_id,
            command_id=new_command_id(),
            signal=name,
            payload=data,
            signal_id=signal_id,
        )

    return _send(instance_id, bulk, make, url, output)


@takes_bulk_options
def pause(
    instance_id: OptionalIdArgument = None,
    *,
    bulk: BulkOptions,
    reason: ReasonOption = None,
    by: ByOption = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Begin nothing new in an instance; what runs may end first.

    With criteria in place of the id: in all that match and go on.
    """

    def make(instance_id: str) -> Command:
        return PauseWorkflow(
            instance_id=instance_id,
            command_id=new_command_id(),
            reason=reason,
            requested_by=by or user_name(),
        )

    return _send(instance_id, bulk, make, url, output)


@takes_bulk_options
def unpause(
    instance_id: OptionalIdArgument = None,
    *,
    bulk: BulkOptions,
    reason: ReasonOption = None,
    by: ByOption = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Let a paused instance go on.

    With criteria in place of the id: all paused ones that match.
    """

    def make(instance_id: str) -> Command:
        return UnpauseWorkflow(
            instance_id=instance_id,
            command_id=new_command_id(),
            reason=reason,
            requested_by=by or user_name(),
        )

    return _send(instance_id, bulk, make, url, output)


@takes_bulk_options
def cancel(
    instance_id: OptionalIdArgument = None,
    *,
    bulk: BulkOptions,
    reason: ReasonOption = None,
    by: ByOption = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Cancel an instance; it ends when nothing runs any more.

    With criteria in place of the id: all that match and have not ended.
    """

    def make(instance_id: str) -> Command:
        return CancelWorkflow(
            instance_id=instance_id,
            command_id=new_command_id(),
            reason=reason,
            requested_by=by or user_name(),
        )

    return _send(instance_id, bulk, make, url, output)


@takes_bulk_options
def retry(  # noqa: PLR0913 (one parameter an option)
    instance_id: OptionalIdArgument = None,
    *,
    bulk: BulkOptions,
    new_input: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="JSON|@FILE",
            help="What the node that failed gets in place of its input.",
        ),
    ] = None,
    reason: ReasonOption = None,
    by: ByOption = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Let a failed instance go on from the node that failed.

    With criteria in place of the id: all that match and failed or are quarantined.
    """
    data = None
    if new_input is not None:
        data = read_json(new_input, "--input")

    def make(instance_id: str) -> Command:
        return RetryWorkflow(
            instance_id=instance_id,
            command_id=new_command_id(),
            input=data,
            reason=reason,
            requested_by=by or user_name(),
        )

    return _send(instance_id, bulk, make, url, output)


@takes_bulk_options
def migrate(  # noqa: PLR0913 (one parameter an option)
    instance_id: OptionalIdArgument = None,
    *,
    bulk: BulkOptions,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="HASH",
            help="A definition hash or graph digest, 8 digits or more of one, or "
            "latest.",
        ),
    ],
    moved: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="OLD=NEW",
            help="A path that has moved, without iterations; may be repeated.",
        ),
    ] = None,
    reason: ReasonOption = None,
    by: ByOption = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Let an instance go on with another graph of its workflow.

    What it waits for, and what it still needs, must have a place there; else it is
    refused, and goes on as before. With criteria in place of the id: all that match and
    have not ended.
    """
    migration = Migration(
        to=to,
        mapping=_mapping_of(moved),
        reason=reason,
        requested_by=by or user_name(),
    )
    return _send(instance_id, bulk, migration.command, url, output)


def _mapping_of(texts: list[str] | None) -> dict[str, str]:
    """Paths as typed, `OLD=NEW` each.

    Raises:
        UsageError: if one is not of that form, or a path comes twice.
    """
    mapping: dict[str, str] = {}
    for text in texts or ():
        old, separator, new = text.partition("=")
        if not (separator and old and new):
            raise UsageError(f"expected --map OLD=NEW, but {text!r}")
        if old in mapping:
            raise UsageError(f"expected one --map {old}=…, but several")
        mapping[old] = new
    return mapping


def fork(
    instance_id: IdArgument,
    *,
    at: Annotated[
        int,
        typer.Option(
            "--at",
            metavar="SEQ",
            min=1,
            help="The last event that the new instance begins with.",
        ),
    ],
    new_id: Annotated[
        str, typer.Option("--new-id", metavar="ID2", help="The new instance's id.")
    ],
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Begin a new instance with the history of another one, up to an event."""
    command = fork_command(checked_id(instance_id), at, checked_id(new_id))
    _send_one(command, url, output)


def _send(
    instance_id: str | None,
    bulk: BulkOptions,
    make_command: Callable[[str], Command],
    url: str,
    output: Format,
) -> int:
    """Send a command to one instance, or to all that match; the exit code."""
    check_target(instance_id, bulk)
    if instance_id is None:
        return send_to_matching(bulk, make_command, url, output)
    _send_one(make_command(checked_id(instance_id)), url, output)
    return 0


def _send_one(command: Command, url: str, output: Format) -> None:
    """Send a command and print the event that answers it."""

    async def send(session: Session) -> tuple[Decided, dict[str, object]]:
        decided = await ask_owner(session, command)
        if output is Format.TABLE:
            return decided, {}
        return decided, await _read_event(session, command.instance_id, decided.offset)

    decided, event = in_session(url, send)
    if output is not Format.TABLE:
        print_object(event, output)
        return
    code = f" {decided.code}" if decided.code else ""
    write_line(f"{decided.event}{code} sequence={decided.sequence}")


async def _read_event(
    session: Session, instance_id: str, offset: int
) -> dict[str, object]:
    """The event at an offset of an instance's partition, as JSON."""
    from sayiir_es.client.projection import (  # noqa: PLC0415 (slow to import)
        partition_of_instance,
    )
    from sayiir_es.engine.valid_events import (  # noqa: PLC0415 (slow to import)
        EventFilter,
        ValidEvents,
    )
    from sayiir_es.wire.event_json import event_to_json  # noqa: PLC0415 (as above)

    partition = partition_of_instance(session.log, instance_id)
    events = ValidEvents(session.log, partition, offset, EventFilter())
    try:
        while True:
            for found in await events.read(max_wait_s=READ_WAIT_S):
                if found.offset == offset:
                    return event_to_json(found.event)
    finally:
        await events.close()
