"""A bar on stderr that shows how far a long command is."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from sayiir_es.cli.console import stderr_console

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


@contextmanager
def progress_bar(
    title: str, *, unit: str = "records"
) -> Generator[Callable[[int, int], None]]:
    """A bar while something goes on; none where stderr is no terminal."""
    bar = Progress(
        TextColumn(title),
        BarColumn(),
        TextColumn(f"{{task.completed}}/{{task.total}} {unit}"),
        TimeRemainingColumn(),
        console=stderr_console(),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task(title, total=None)

        def update(done: int, total: int, /) -> None:
            bar.update(task, completed=done, total=total)

        yield update
