"""What becomes of a dead letter: its command is written again, or it is put away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.client.session import REPLY_LIMIT_S
from sayiir_es.core.model.errors import CommandRefusedError
from sayiir_es.core.model.events import (
    CommandDeadLettered,
    CommandDeferred,
    CommandForwarded,
    CommandRejected,
)
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.valid_events import EventFilter, ValidEvents
from sayiir_es.log.port import Topic
from sayiir_es.operations.dead_letters import (
    DeadLetter,
    get_dead_letter,
    mark,
    original,
    parse_place,
)

if TYPE_CHECKING:
    from sayiir_es.client.session import Session
    from sayiir_es.core.model.events import Event


async def retry_dead_letter(session: Session, place: str) -> tuple[str, Event]:
    """Write the command again as it was; its new place, and the event that answers it.

    Raises:
        NotFoundError: if there is none at `place`.
        CommandRefusedError: if it was retried or dropped, or is not kept whole.
        BackendError: if no owner answered in time; the command stays.
    """
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


async def drop_dead_letter(session: Session, place: str, reason: str) -> DeadLetter:
    """Take it off the list; the letter and its event stay on the log.

    Raises:
        NotFoundError: if there is none at `place`.
        CommandRefusedError: if it was retried or dropped.
    """
    await session.open()
    dead_letter, _ = await _get_unmarked(session, place)
    await mark(session.log, dead_letter, "dropped", reason)
    dead_letter, _ = await get_dead_letter(session.log, place)
    return dead_letter


def is_refusal(answer: Event) -> bool:
    """Whether the answer to a command says that it did nothing."""
    return isinstance(answer.body, CommandDeadLettered | CommandRejected)


def answer_detail(answer: Event) -> str:
    """What the answer to a command says beside its kind."""
    match answer.body:
        case CommandDeadLettered(reason=reason, dead_letter=place):
            return f"again unreadable, now {place}: {reason}"
        case CommandRejected(code=code, message=message):
            return f"{code}: {message}"
        case CommandForwarded(to_partition=partition, to_offset=offset):
            return f"forwarded to {partition}@{offset}"
        case _:
            return ""


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
