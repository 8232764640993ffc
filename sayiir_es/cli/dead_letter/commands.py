"""`sayiir-es dead-letter`: commands that nobody could read, and their fate."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import DEFAULT_BACKEND, BackendOption, in_session
from sayiir_es.cli.dead_letter.records import (
    DeadLetter,
    all_letters,
    letter_at,
    mark,
    original,
    parse_place,
)
from sayiir_es.cli.failures import REJECTED
from sayiir_es.cli.output import (
    Format,
    OutputOption,
    print_object,
    print_rows,
    say,
)
from sayiir_es.client.session import REPLY_LIMIT_S
from sayiir_es.client.valid_events import EventFilter, ValidEvents
from sayiir_es.core.model.errors import BackendError, CommandRefusedError
from sayiir_es.core.model.events import (
    CommandDeadLettered,
    CommandForwarded,
    CommandRejected,
)
from sayiir_es.core.partitions import partition_of
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    from sayiir_es.client.session import Session
    from sayiir_es.core.model.events import Event

LISTED = 50
SHOWN_BYTES = 2_000
"""How much of a letter a table shows; data formats show all."""

app = typer.Typer(
    help="Commands that nobody could read.",
    epilog="Example: sayiir-es dead-letter list",
    no_args_is_help=True,
)
PlaceArgument = Annotated[
    str, typer.Argument(metavar="P@O", help="Where the dead letter stands.")
]


@app.command("list", epilog="Example: sayiir-es dead-letter list -o jsonl")
def list_letters(
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Those retried and dropped, too.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="The last written so many.")
    ] = LISTED,
    backend: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """List what could not be read, the last written first."""

    async def work(session: Session) -> list[DeadLetter]:
        await session.open()
        return await all_letters(session.log)

    found = [one for one in in_session(backend, work) if every or one.mark is None]
    if not found:
        say("no dead letters", "dim")
    columns = ["dead_letter", "written_at", "key", "size", "reason"]
    if every:
        columns.insert(1, "state")
    print_rows([_view(one) for one in found[:limit]], columns, output)


@app.command(epilog="Example: sayiir-es dead-letter show 0@0")
def show(
    place: PlaceArgument,
    *,
    backend: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show a dead letter with the bytes that could not be read."""

    async def work(session: Session) -> tuple[DeadLetter, bytes | None]:
        await session.open()
        return await letter_at(session.log, place)

    letter, value = in_session(backend, work)
    shown = _view(letter)
    if output is Format.TABLE:
        shown["value"] = _readable((value or b"")[:SHOWN_BYTES])
        if value is not None and len(value) > SHOWN_BYTES:
            say(f"the first {SHOWN_BYTES} of {len(value)} bytes", "dim")
    else:
        shown["value"] = None if value is None else _readable(value)
        shown["value_base64"] = base64.b64encode(value or b"").decode()
    print_object(shown, output)


@app.command(epilog="Example: sayiir-es dead-letter retry 0@0")
def retry(
    place: PlaceArgument,
    *,
    backend: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Write the command again as it was, and print the event that answers it."""

    async def work(session: Session) -> tuple[str, Event]:
        await session.open()
        letter, value = await _unmarked(session, place)
        if letter.kept is not None:
            raise CommandRefusedError(
                f"expected the whole command in {place!r}, but of its {letter.size} "
                f"bytes only {letter.kept} were kept",
                rejection="too_large",
            )
        home, _ = parse_place(letter.command)
        if letter.key is not None:
            home = partition_of(letter.key, session.log.partitions)
        begin = await session.log.end_offset(Topic.EVENTS, home)
        record = original(letter, value)
        offset = await session.log.produce(Topic.COMMANDS, home, record)
        await mark(session.log, letter, "retried", f"{home}@{offset}")
        return f"{home}@{offset}", await _answer(session, home, begin, offset)

    command, answer = in_session(backend, work)
    refused = isinstance(answer.body, CommandDeadLettered | CommandRejected)
    print_object(
        {
            "dead_letter": place,
            "command": command,
            "answer": answer.kind,
            "detail": _detail(answer),
            "instance_id": answer.instance_id,
        },
        output,
    )
    return REJECTED if refused else 0


@app.command(epilog="Example: sayiir-es dead-letter drop 0@0 --reason 'a typing error'")
def drop(
    place: PlaceArgument,
    *,
    reason: Annotated[
        str, typer.Option("--reason", help="Recorded beside the letter.")
    ] = "",
    backend: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Take a dead letter off the list; the letter and its event stay on the log."""

    async def work(session: Session) -> DeadLetter:
        await session.open()
        letter, _ = await _unmarked(session, place)
        await mark(session.log, letter, "dropped", reason)
        letter, _ = await letter_at(session.log, place)
        return letter

    print_object(_view(in_session(backend, work)), output)


async def _unmarked(session: Session, place: str) -> tuple[DeadLetter, bytes | None]:
    """A letter that is still on the list.

    Raises:
        NotFoundError: if there is none.
        CommandRefusedError: if it was retried or dropped.
    """
    letter, value = await letter_at(session.log, place)
    if letter.mark is not None:
        word = letter.mark.word
        raise CommandRefusedError(
            f"expected a dead letter on the list, but {place!r} was {word}",
            rejection=f"already_{word}",
        )
    return letter, value


async def _answer(session: Session, partition: int, begin: int, offset: int) -> Event:
    """The first event that the command at that place causes.

    Raises:
        BackendError: if no owner answered in time; the command stays.
    """
    cause = f"command:{partition}@{offset}"
    events = ValidEvents(session.log, partition, begin, EventFilter())
    try:
        async with asyncio.timeout(REPLY_LIMIT_S), session.owning():
            while True:
                for found in await events.read(max_wait_s=1.0):
                    if found.event.cause.partition("<")[0] == cause:
                        return found.event
    except TimeoutError as error:
        raise BackendError(
            f"expected an answer to the command at {partition}@{offset} within "
            f"{REPLY_LIMIT_S:.0f} s, but no worker owns partition {partition}; the "
            "command stays and is decided later"
        ) from error
    finally:
        await events.close()


def _detail(answer: Event) -> str:
    match answer.body:
        case CommandDeadLettered(reason=reason, dead_letter=place):
            return f"again unreadable, now {place}: {reason}"
        case CommandRejected(code=code, message=message):
            return f"{code}: {message}"
        case CommandForwarded(to_partition=partition, to_offset=offset):
            return f"forwarded to {partition}@{offset}"
        case _:
            return ""


def _view(letter: DeadLetter) -> dict[str, object]:
    found = letter.mark
    return {
        "dead_letter": letter.place,
        "state": "listed" if found is None else found.word,
        "reason": letter.reason,
        "command": letter.command,
        "key": None if letter.key is None else _readable(letter.key),
        "size": letter.size,
        "kept_bytes": letter.kept,
        "headers": [[name, _readable(data)] for name, data in letter.headers],
        "written_at": letter.written_at_ms,
        "marked_at": None if found is None else found.at_ms,
        "mark_detail": None if found is None else found.detail,
    }


def _readable(data: bytes) -> str:
    """Bytes as text, whatever is none escaped."""
    return data.decode("utf-8", "backslashreplace")
