"""`sayiir-es limit`: how many attempts run under each key, who waits; and set it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from sayiir_es.cli.connection import DEFAULT_BACKEND, BackendOption, in_session
from sayiir_es.cli.environment import user_name
from sayiir_es.cli.output import Format, OutputOption, print_object, print_rows
from sayiir_es.core.model.errors import UsageError
from sayiir_es.operations.limit_view import limit_view
from sayiir_es.operations.text import format_time

if TYPE_CHECKING:
    from sayiir_es.client.session import Session
    from sayiir_es.core.status.limit_report import LimitReport

_COLUMNS = ("key", "in_use", "of", "rate", "waiting", "set")
_TIMES = frozenset(("set_at", "grants_at", "since"))

KeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="The concurrency key, as tasks make it.")
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
    limit: Annotated[int, typer.Option("--limit", help="At most so many.")] = 100,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """List the limits that are in use, waited for, or set."""
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
            page = await list_limits(session, size, after)
            found += page.limits
            after = page.next_after
            if after is None:
                break
        return found

    views = [limit_view(one) for one in in_session(url, read)]
    print_rows(views if output is not Format.TABLE else _rows(views), _COLUMNS, output)
    return 0


def show(
    key: KeyArgument,
    *,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Show a limit: how much of it is in use, what was set, who has it, who waits."""
    from sayiir_es.client.limits import get_limit  # noqa: PLC0415 (slow to import)

    async def read(session: Session) -> LimitReport:
        try:
            return await get_limit(session, key)
        except ValueError as error:
            raise UsageError(str(error)) from error

    _print(in_session(url, read), output)
    return 0


def set_limit(  # noqa: PLR0913 (one parameter an option)
    key: KeyArgument,
    *,
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
    reason: ReasonOption = None,
    by: ByOption = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Set a limit at once; what is left out is as the tasks say it."""
    if max_concurrency is None and rate is None:
        raise UsageError(
            "expected --max-concurrency or --rate, but neither; `limit unset` lets the "
            "tasks say both"
        )
    _set(key, max_concurrency, rate, reason=reason, by=by, url=url, output=output)
    return 0


def unset(
    key: KeyArgument,
    *,
    reason: ReasonOption = None,
    by: ByOption = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Let a limit be what the tasks say again."""
    _set(key, None, None, reason=reason, by=by, url=url, output=output)
    return 0


def _set(  # noqa: PLR0913 (one parameter an option)
    key: str,
    max_concurrency: int | None,
    rate: str | None,
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
        setting = limit_setting(key, max_concurrency, rate, reason, by or user_name())
    except ValueError as error:
        raise UsageError(str(error)) from error
    _print(in_session(url, lambda session: set_limit(session, setting)), output)


def _print(limit: LimitReport, output: Format) -> None:
    view = limit_view(limit)
    if output is Format.TABLE:
        view = {name: _shown(name, value) for name, value in view.items()}
    print_object(view, output)


def _rows(views: list[dict[str, object]]) -> list[dict[str, object]]:
    return [
        {
            "key": view["key"],
            "in_use": view["in_use"],
            "of": view["max_concurrency"],
            "rate": view["rate"],
            "waiting": view["queued"],
            "set": _shown("set_at", view["set_at"]),
        }
        for view in views
    ]


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
