"""`sayiir-es dead-letter`: commands that nobody could read."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import DEFAULT_BACKEND, BackendOption, in_session
from sayiir_es.cli.failures import REJECTED
from sayiir_es.cli.output import (
    Format,
    OutputOption,
    print_message,
    print_object,
    print_rows,
)
from sayiir_es.operations.dead_letters import (
    DeadLetter,
    all_dead_letters,
    get_dead_letter,
)
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
        from sayiir_es.operations.dead_letter_control import (  # noqa: PLC0415 (slow)
            retry_dead_letter,
        )

        return await retry_dead_letter(session, place)

    command, answer = in_session(url, work)
    from sayiir_es.operations.dead_letter_control import (  # noqa: PLC0415 (slow)
        answer_detail,
        is_refusal,
    )

    print_object(
        {
            "dead_letter": place,
            "command": command,
            "answer": answer.kind,
            "detail": answer_detail(answer),
            "instance_id": answer.instance_id,
        },
        output,
    )
    return REJECTED if is_refusal(answer) else 0


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
        from sayiir_es.operations.dead_letter_control import (  # noqa: PLC0415 (slow)
            drop_dead_letter,
        )

        return await drop_dead_letter(session, place, reason)

    print_object(_view(in_session(url, work)), output)


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
