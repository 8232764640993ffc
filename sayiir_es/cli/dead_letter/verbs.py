"""`sayiir-es dead-letter`: commands that nobody could read."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import DEFAULT_BACKEND, BackendOption, in_session
from sayiir_es.cli.dead_letter.dead_letters import (
    DeadLetter,
    all_dead_letters,
    get_dead_letter,
    mark,
    original,
    parse_place,
)
from sayiir_es.cli.failures import REJECTED
from sayiir_es.cli.output import (
    Format,
    OutputOption,
    print_message,
    print_object,
    print_rows,
)
from sayiir_es.core.model.errors import CommandRefusedError
from sayiir_es.core.model.events import (
    CommandDeadLettered,
    CommandDeferred,
    CommandForwarded,
    CommandRejected,
)
from sayiir_es.core.partitions import partition_of
from sayiir_es.log.port import Topic
from sayiir_es.operations.text import readable

if TYPE_CHECKING:
    from sayiir_es.client.session import Session
    from sayiir_es.core.model.events import Event

LIST_LIMIT = 50
SHOWN_BYTES = 2_000
"""How much of a dead letter a table shows; data formats show all."""

PlaceArgument = Annotated[
    str, typer.Argument(metavar="P@O", help="Where the dead letter stands.")
]


def list_dead_letters(
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Those retried and dropped, too.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="The last written so many.")
    ] = LIST_LIMIT,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """List what could not be read, the last written first."""

    async def work(session: Session) -> list[DeadLetter]:
        await session.open()
        return await all_dead_letters(session.log)

    dead_letters = [one for one in in_session(url, work) if every or one.mark is None]
    if not dead_letters:
        print_message("no dead letters", "dim")
    columns = ["dead_letter", "written_at", "key", "size", "reason"]
    if every:
        columns.insert(1, "state")
    print_rows([_view(one) for one in dead_letters[:limit]], columns, output)


def show(
    place: PlaceArgument,
    *,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show a dead letter with the bytes that could not be read."""

    async def work(session: Session) -> tuple[DeadLetter, bytes | None]:
        await session.open()
        return await get_dead_letter(session.log, place)

    dead_letter, value = in_session(url, work)
    fields = _view(dead_letter)
    if output is Format.TABLE:
        fields["value"] = readable((value or b"")[:SHOWN_BYTES])
        if value is not None and len(value) > SHOWN_BYTES:
            print_message(f"the first {SHOWN_BYTES} of {len(value)} bytes", "dim")
    else:
        fields["value"] = None if value is None else readable(value)
        fields["value_base64"] = base64.b64encode(value or b"").decode()
    print_object(fields, output)


def retry(
    place: PlaceArgument,
    *,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Write the command again as it was, and print the event that answers it."""

    async def work(session: Session) -> tuple[str, Event]:
        await session.open()
        dead_letter, value = await _get_unmarked(session, place)
        if dead_letter.kept is not None:
            raise CommandRefusedError(
                f"expected the whole command in {place!r}, but of its "
                f"{dead_letter.size} bytes only {dead_letter.kept} were kept",
                rejection="too_large",
            )
        home, _ = parse_place(dead_letter.command)
        if dead_letter.key is not None:
            home = partition_of(dead_letter.key, session.log.partitions)
        begin = await session.log.end_offset(Topic.EVENTS, home)
        record = original(dead_letter, value)
        offset = await session.log.produce(Topic.COMMANDS, home, record)
        await mark(session.log, dead_letter, "retried", f"{home}@{offset}")
        return f"{home}@{offset}", await _answer(session, home, begin, offset)

    command, answer = in_session(url, work)
    is_rejected = isinstance(answer.body, CommandDeadLettered | CommandRejected)
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
    return REJECTED if is_rejected else 0


def drop(
    place: PlaceArgument,
    *,
    reason: Annotated[
        str, typer.Option("--reason", help="Recorded beside the letter.")
    ] = "",
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Take a dead letter off the list; the letter and its event stay on the log."""

    async def work(session: Session) -> DeadLetter:
        await session.open()
        dead_letter, _ = await _get_unmarked(session, place)
        await mark(session.log, dead_letter, "dropped", reason)
        dead_letter, _ = await get_dead_letter(session.log, place)
        return dead_letter

    print_object(_view(in_session(url, work)), output)


async def _get_unmarked(
    session: Session, place: str
) -> tuple[DeadLetter, bytes | None]:
    """A dead letter that is still on the list.

    Raises:
        NotFoundError: if there is none.
        CommandRefusedError: if it was retried or dropped.
    """
    dead_letter, value = await get_dead_letter(session.log, place)
    if dead_letter.mark is not None:
        word = dead_letter.mark.word
        raise CommandRefusedError(
            f"expected a dead letter on the list, but {place!r} was {word}",
            rejection=f"already_{word}",
        )
    return dead_letter, value


async def _answer(session: Session, partition: int, begin: int, offset: int) -> Event:
    """The first event that the command at that place causes.

    Raises:
        BackendError: if no owner answered in time; the command stays.
    """
    cause = f"command:{partition}@{offset}"
    from sayiir_es.client.session import REPLY_LIMIT_S  # noqa: PLC0415 (slow)
    from sayiir_es.engine.valid_events import (  # noqa: PLC0415 (slow to import)
        EventFilter,
        ValidEvents,
    )

    events = ValidEvents(session.log, partition, begin, EventFilter())
    try:
        async with asyncio.timeout(REPLY_LIMIT_S), session.deciding(partition):
            while True:
                for entry in await events.read(max_wait_s=1.0):
                    event = entry.event
                    is_deferral = isinstance(event.body, CommandDeferred)
                    if event.cause.partition("<")[0] == cause and not is_deferral:
                        return event
    except TimeoutError as error:
        what = f"the command at {partition}@{offset}"
        raise await session.unanswered(what, partition, REPLY_LIMIT_S) from error
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


def _view(dead_letter: DeadLetter) -> dict[str, object]:
    last_mark = dead_letter.mark
    return {
        "dead_letter": dead_letter.place,
        "state": "listed" if last_mark is None else last_mark.word,
        "reason": dead_letter.reason,
        "command": dead_letter.command,
        "key": None if dead_letter.key is None else readable(dead_letter.key),
        "size": dead_letter.size,
        "kept_bytes": dead_letter.kept,
        "headers": [[name, readable(data)] for name, data in dead_letter.headers],
        "written_at": dead_letter.written_at_ms,
        "marked_at": None if last_mark is None else last_mark.at_ms,
        "mark_detail": None if last_mark is None else last_mark.detail,
    }
