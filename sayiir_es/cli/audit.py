"""`sayiir-es audit`: prove from the topics what is claimed of them."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from sayiir_es.audit.verify import verify_log
from sayiir_es.cli.connection import (
    DEFAULT_BACKEND,
    BackendOption,
    checked_id,
    open_backend,
)
from sayiir_es.cli.failures import FAILED
from sayiir_es.cli.output import Format, OutputOption, print_rows, say, talk

if TYPE_CHECKING:
    from sayiir_es.audit.verify import Verdict
    from sayiir_es.client.backends import Backend

app = typer.Typer(
    help="Prove what the topics say.",
    epilog="Example: sayiir-es audit verify",
    no_args_is_help=True,
)

COLUMNS = ("invariant", "partition", "offset", "instance", "expected", "seen")


@app.callback()
def group() -> None:
    """Prove what the topics say."""


@app.command(epilog="Example: sayiir-es audit verify")
def verify(
    *,
    instance_id: Annotated[
        str | None, typer.Option("--instance", help="Only that instance.")
    ] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            "--state-dir",
            metavar="DIR",
            help="Also compare the stores in this directory with the log.",
        ),
    ] = None,
    backend: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Check every invariant that the topics can show; exit 1 if one is broken.

    Shares no code with what decides and folds the events.
    """
    if instance_id is not None:
        checked_id(instance_id)
    used = open_backend(backend)
    try:
        verdict = asyncio.run(_verified(used, instance_id, state_dir))
    finally:
        used.close()
    rows = [_row(asdict(violation)) for violation in verdict.violations]
    print_rows(rows, COLUMNS, output)
    checked = f"{verdict.events} events checked"
    if verdict.holds:
        say(f"{checked}, every invariant holds", "bold green")
        return 0
    count = len(verdict.violations)
    say(f"{checked}, {count} violation{'s' * (count != 1)}", "bold red")
    return FAILED


def _row(violation: dict[str, object]) -> dict[str, object]:
    violation["instance"] = violation.pop("instance_id")
    return {name: violation[name] for name in COLUMNS}


async def _verified(
    backend: Backend, instance_id: str | None, state_dir: Path | None
) -> Verdict:
    bar = Progress(
        TextColumn("verifying"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} records"),
        TimeRemainingColumn(),
        console=talk(),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task("verifying", total=None)

        def progress(done: int, total: int, /) -> None:
            bar.update(task, completed=done, total=total)

        return await verify_log(backend.open_log(), instance_id, state_dir, progress)
