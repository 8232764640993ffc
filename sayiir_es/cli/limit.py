"""`sayiir-es limit`: how many attempts run under a key, or runs go on; and set it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from sayiir_es.cli.connection import DEFAULT_BACKEND, BackendOption, in_session
from sayiir_es.cli.environment import user_name
from sayiir_es.cli.output import Format, OutputOption, print_object, print_rows
from sayiir_es.core.model.errors import UsageError
from sayiir_es.core.status.limit_report import LimitOf
from sayiir_es.operations.limit_view import limit_view
from sayiir_es.operations.text import format_time

if TYPE_CHECKING:
    from sayiir_es.client.limits import LimitNumbers
    from sayiir_es.client.session import Session
    from sayiir_es.core.status.limit_report import LimitReport

_COLUMNS = ("of", "key", "in_use", "at_most", "rate", "waiting", "waits_since", "set")
_TIMES = frozenset(("set_at", "grants_at", "since"))

KeyArgument = Annotated[
    str,
    typer.Argument(
        metavar="KEY",
        help="The concurrency key, as tasks make it; with `--of runs` the workflow's "
        "name, and behind a `/` what its queue_key makes.",
    ),
]
OfOption = Annotated[
    LimitOf,
    typer.Option("--of", help="What it counts; `runs`: it is a start queue."),
]
ReasonOption = Annotated[
    str | None, typer.Option("--reason", help="Recorded in the event.")
]
ByOption = Annotated[
    str | None,
    typer.Option("--by", help="Who asks, recorded too; else the user's name."),
]


def list_limits(
    *,
    of: Annotated[
        LimitOf | None, typer.Option("--of", help="Those that count this alone.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", help="At most so many.")] = 100,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """List the limits that are in use, waited for, or set; and the start queues."""
    from sayiir_es.client.limits import (  # noqa: PLC0415 (slow to import)
        PAGE_MAX,
        list_limits,
    )

    if limit < 1:
        raise UsageError(f"expected --limit of 1 or more, but {limit}")

    async def read(session: Session) -> list[LimitReport]:
        found: list[LimitReport] = []
        after: str | None = None
        while len(found) < limit:
            size = min(PAGE_MAX, limit - len(found))
            page = await list_limits(session, size, after, of)
            found += page.limits
            after = page.next_after
            if after is None:
                break
        return found

    found = in_session(url, read)
    if output is Format.TABLE:
        print_rows([_row(one) for one in found], _COLUMNS, output)
    else:
        print_rows([limit_view(one) for one in found], _COLUMNS, output)
    return 0


def show(
    key: KeyArgument,
    *,
    of: OfOption = "attempts",
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Show a limit: how much of it is in use, what was set, who has it, who waits."""
    from sayiir_es.client.limits import get_limit  # noqa: PLC0415 (slow to import)

    instance_id = _checked_id(key, of)
    limit = in_session(url, lambda session: get_limit(session, instance_id))
    _print(limit, output)
    return 0


def set_limit(  # noqa: PLR0913 (one parameter an option)
    key: KeyArgument,
    *,
    of: OfOption = "attempts",
    max_concurrency: Annotated[
        int | None,
        typer.Option(
            "--max-concurrency",
            metavar="N",
            help="How many attempts run at a time; 0 lets none begin.",
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option("--rate", help="How many begin in a time: 10/s, 100/min burst 5."),
    ] = None,
    max_running: Annotated[
        int | None,
        typer.Option(
            "--max-running",
            metavar="N",
            help="With --of runs: how many go on at a time; 0 lets none begin.",
        ),
    ] = None,
    queue_length: Annotated[
        int | None,
        typer.Option(
            "--queue-length",
            metavar="N",
            help="With --of runs: how many others wait; a further start is refused.",
        ),
    ] = None,
    reason: ReasonOption = None,
    by: ByOption = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Set a limit at once; what is left out is as the tasks or the workflow say it."""
    from sayiir_es.client.limits import LimitNumbers  # noqa: PLC0415 (slow to import)

    numbers = LimitNumbers(
        max_concurrency=max_concurrency,
        rate=rate,
        max_running=max_running,
        queue_length=queue_length,
    )
    if numbers == LimitNumbers():
        wanted = "--max-concurrency or --rate"
        if of == "runs":
            wanted = "--max-running or --queue-length"
        raise UsageError(
            f"expected {wanted}, but neither; `limit unset` lets the "
            f"{'workflow' if of == 'runs' else 'tasks'} say both"
        )
    _set(_checked_id(key, of), numbers, reason=reason, by=by, url=url, output=output)
    return 0


def unset(
    key: KeyArgument,
    *,
    of: OfOption = "attempts",
    reason: ReasonOption = None,
    by: ByOption = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Let a limit be what the tasks say again, or the workflow."""
    from sayiir_es.client.limits import LimitNumbers  # noqa: PLC0415 (slow to import)

    instance_id = _checked_id(key, of)
    _set(instance_id, LimitNumbers(), reason=reason, by=by, url=url, output=output)
    return 0


def _checked_id(key: str, of: LimitOf) -> str:
    from sayiir_es.client.limits import checked_id  # noqa: PLC0415 (slow to import)

    try:
        return checked_id(key, of)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _set(
    instance_id: str,
    numbers: LimitNumbers,
    *,
    reason: str | None,
    by: str | None,
    url: str,
    output: Format,
) -> None:
    from sayiir_es.client.limits import (  # noqa: PLC0415 (slow to import)
        limit_setting,
        set_limit,
    )

    try:
        setting = limit_setting(instance_id, numbers, reason, by or user_name())
    except ValueError as error:
        raise UsageError(str(error)) from error
    _print(in_session(url, lambda session: set_limit(session, setting)), output)


def _print(limit: LimitReport, output: Format) -> None:
    view = limit_view(limit)
    if output is Format.TABLE:
        view = {name: _shown(name, value) for name, value in view.items()}
    print_object(view, output)


def _row(limit: LimitReport) -> dict[str, object]:
    waiting, length = str(limit.queued), limit.queue_length
    if length is not None:
        waiting += f" of {length}"
    first = next(iter(limit.waiting), None)
    is_of_runs = limit.of == "runs"
    return {
        "of": limit.of,
        "key": limit.key,
        "in_use": limit.in_use,
        "at_most": limit.max_running if is_of_runs else limit.max_concurrency,
        "rate": limit.rate,
        "waiting": waiting,
        "waits_since": None if first is None else format_time(first.since),
        "set": _shown("set_at", limit.set_at),
    }


def _shown(name: str, value: object) -> object:
    """As a table shows it: times to read, and one line for each attempt."""
    if isinstance(value, int) and name in _TIMES:
        return format_time(value)
    if isinstance(value, list):
        return "\n".join(
            " ".join(
                f"{part}={_shown(part, one)}" for part, one in attempt.items() if one
            )
            for attempt in cast("list[dict[str, object]]", value)
        )
    return value
