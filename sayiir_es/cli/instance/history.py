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
from sayiir_es.cli.failures import not_found
from sayiir_es.cli.output import Format, OutputOption
from sayiir_es.cli.stdout import write_line
from sayiir_es.operations.event_fields import fields_of
from sayiir_es.operations.text import to_json

if TYPE_CHECKING:
    from sayiir_es.client.session import Session
    from sayiir_es.engine.valid_events import FoundEvent

LOOK_S = 1.0

_LAST = frozenset(("WorkflowCompleted", "WorkflowFailed", "WorkflowCancelled"))


def history(
    instance_id: IdArgument,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until it has ended.")
    ] = False,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Print the events of an instance, in order; only valid ones count."""
    checked_id(instance_id)
    entries = in_session(
        url, lambda session: _read(session, instance_id, output, follow=follow)
    )
    if not entries:
        raise not_found(instance_id)
    if output is Format.TABLE and not follow:
        from sayiir_es.cli.event_lines import (  # noqa: PLC0415 (slow to import)
            print_history,
        )

        print_history(entries)
    elif output is Format.JSON:
        write_line(to_json([fields_of(entry) for entry in entries], indent=2))


async def _read(
    session: Session, instance_id: str, output: Format, *, follow: bool
) -> list[FoundEvent]:
    """The history; what is printed as it comes is printed on the way."""
    from sayiir_es.cli.event_lines import print_event  # noqa: PLC0415 (slow to import)
    from sayiir_es.client.projection import partition_of_instance  # noqa: PLC0415 (slow to import)
    from sayiir_es.engine.valid_events import (  # noqa: PLC0415 (slow to import)
        EventFilter,
        ValidEvents,
    )

    await session.open()
    reader = ValidEvents(
        session.log,
        partition_of_instance(session.log, instance_id),
        0,
        EventFilter(instance_id=instance_id),
    )
    entries: list[FoundEvent] = []

    def take(entry: FoundEvent) -> None:
        entries.append(entry)
        if output is Format.JSONL:
            write_line(to_json(fields_of(entry)))
        elif follow and output is Format.TABLE:
            print_event(entry)

    try:
        async for entry in reader.until_end():
            take(entry)
        while follow and not (entries and _is_over(entries)):
            for entry in await reader.read(max_wait_s=LOOK_S):
                take(entry)
    finally:
        await reader.close()
    return entries


def _is_over(entries: list[FoundEvent]) -> bool:
    """Whether the last run has ended; rejections and signals may follow its end."""
    for entry in reversed(entries):
        if entry.event.kind in _LAST:
            return True
        if entry.event.kind in ("WorkflowStarted", "WorkflowRetried"):
            return False
    return False
