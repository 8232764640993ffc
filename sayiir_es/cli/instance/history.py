"""`sayiir-es instance history`: every event of one instance, from its partition."""

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
from sayiir_es.cli.event_lines import history_table, line, shown
from sayiir_es.cli.failures import not_found
from sayiir_es.cli.output import Format, OutputOption, data, to_json, write_line
from sayiir_es.client.projection import partition_of_instance
from sayiir_es.client.valid_events import EventFilter, ValidEvents

if TYPE_CHECKING:
    from sayiir_es.client.session import Session
    from sayiir_es.client.valid_events import FoundEvent

LOOK_S = 1.0

_LAST = frozenset(("WorkflowCompleted", "WorkflowFailed", "WorkflowCancelled"))


def history(
    instance_id: IdArgument,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until it has ended.")
    ] = False,
    backend: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Print the events of an instance, in order; only valid ones count."""
    checked_id(instance_id)
    found = in_session(
        backend, lambda session: _read(session, instance_id, output, follow=follow)
    )
    if not found:
        raise not_found(instance_id)
    if output is Format.TABLE and not follow:
        data().print(history_table(found))
    elif output is Format.JSON:
        write_line(to_json([shown(one) for one in found], indent=2))


async def _read(
    session: Session, instance_id: str, output: Format, *, follow: bool
) -> list[FoundEvent]:
    """The history; what is printed as it comes is printed on the way."""
    await session.open()
    events = ValidEvents(
        session.log,
        partition_of_instance(session.log, instance_id),
        0,
        EventFilter(instance_id=instance_id),
    )
    found: list[FoundEvent] = []

    def take(one: FoundEvent) -> None:
        found.append(one)
        if output is Format.JSONL:
            write_line(to_json(shown(one)))
        elif follow and output is Format.TABLE:
            data().print(line(one), soft_wrap=True)

    try:
        async for one in events.until_end():
            take(one)
        while follow and not (found and _is_over(found)):
            for one in await events.read(max_wait_s=LOOK_S):
                take(one)
    finally:
        await events.close()
    return found


def _is_over(found: list[FoundEvent]) -> bool:
    """Whether the last run has ended; refusals and signals may follow its end."""
    for one in reversed(found):
        if one.event.kind in _LAST:
            return True
        if one.event.kind in ("WorkflowStarted", "WorkflowRetried"):
            return False
    return False
