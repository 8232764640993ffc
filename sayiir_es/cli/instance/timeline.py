"""`sayiir-es instance timeline`: what ran and waited when, as bars."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import (
    DEFAULT_BACKEND,
    BackendOption,
    IdArgument,
    checked_id,
    in_session,
)
from sayiir_es.cli.output import Format, OutputOption, print_rows
from sayiir_es.engine.clock import SystemClock

if TYPE_CHECKING:
    from sayiir_es.audit.history import History
    from sayiir_es.client.session import Session
    from sayiir_es.operations.timeline.axis import Scale
    from sayiir_es.operations.timeline.lanes import Timeline


def timeline(
    instance_id: IdArgument,
    *,
    by_order: Annotated[
        bool,
        typer.Option(
            "--by-order",
            help="Space for each event instead of for time: short steps beside waits.",
        ),
    ] = False,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Draw when what ran and waited in an instance, as bars."""
    checked_id(instance_id)

    async def read(session: Session) -> History:
        from sayiir_es.audit.history import (  # noqa: PLC0415 (slow to import)
            read_history,
        )

        return await read_history(session, instance_id)

    history = in_session(url, read)
    from sayiir_es.operations.timeline.folding import (  # noqa: PLC0415 (slow to import)
        timeline_of,
    )

    events = [entry.event for entry in history.events]
    result = timeline_of(events, now_ms=SystemClock().now_ms(), graph=history.graph)
    if output is not Format.TABLE:
        print_rows(_rows(result), (), output)
        return
    from sayiir_es.cli.console import stdout_console  # noqa: PLC0415 (slow to import)
    from sayiir_es.cli.instance.timeline_text import (  # noqa: PLC0415 (as above)
        draw_timeline,
    )

    console = stdout_console()
    scale: Scale = "order" if by_order else "time"
    for line in draw_timeline(result, scale, width=console.width):
        console.print(line, soft_wrap=True)


def _rows(result: Timeline) -> list[dict[str, object]]:
    """A lane a row; what is no attribute of it, its state, is said too."""
    return [{**asdict(lane), "state": lane.state} for lane in result.lanes]
