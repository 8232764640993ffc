"""`sayiir-es demo`: a worker is killed in the middle of an order, and nothing is lost.

The story is told from the log alone: what is printed as it happens are the events that
any consumer would read. At its end every claim is checked; a story that is not true
ends with exit code 1.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.demo.checks import broken_claims
from sayiir_es.cli.demo.cluster import INSTANCE_ID, DemoCluster
from sayiir_es.cli.event_lines import history_table
from sayiir_es.cli.instance.state import print_changes
from sayiir_es.cli.output import Format, data, say
from sayiir_es.core.model.errors import WorkflowError
from sayiir_es.core.model.events import TaskCompleted

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sayiir_es.audit.history import History
    from sayiir_es.audit.verify.verify import Verdict
    from sayiir_es.client.valid_events import FoundEvent


def demo(
    *,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep", metavar="DIR", help="Leave the log there, to look at it."
        ),
    ] = None,
) -> None:
    """Run an order on one file, kill its worker with `kill -9`, and see it complete."""
    place: AbstractContextManager[str]
    if keep is None:
        place = tempfile.TemporaryDirectory(prefix="sayiir-demo-")
    else:
        keep.mkdir(parents=True, exist_ok=True)
        place = nullcontext(str(keep))
    with place as directory:
        asyncio.run(_play(Path(directory), kept=keep is not None))


async def _play(directory: Path, *, kept: bool) -> None:
    stage = DemoCluster(directory)
    await stage.open()
    try:
        await _act(stage)
        history = stage.history()
        broken = broken_claims(stage.events(), history, directory)
        _tell(history)
        _tell_before_and_after(await stage.read_history())
        _conclude(broken, await stage.verify())
        if kept:
            say(
                f"look again:  sayiir-es instance show {INSTANCE_ID} "
                f"--backend {stage.backend.url}",
                "dim",
            )
    except TimeoutError as error:
        for words in stage.worker_words():
            say(words)
        raise WorkflowError(str(error)) from error
    finally:
        await stage.close()


async def _act(stage: DemoCluster) -> None:
    _chapter("1  a worker starts, on one SQLite file")
    first = await stage.hire("first")
    _chapter("2  an order comes in; the shelf is empty at the first look")
    await stage.start_order()
    await stage.until("SignalAwaited", path="approval")
    _chapter("3  it waits for a signal, holding nothing; somebody approves")
    await stage.approve()
    await stage.until("DeadlineSet", path="charge")
    await stage.until_ran("charge", 1)
    _chapter("4  kill -9, in the middle of the charge", "bold red")
    await stage.kill(first)
    _chapter("5  another worker starts: it knows what the log knows")
    await stage.hire("second")
    await stage.until("DelayStarted", path="cool_off")
    _chapter("6  a durable delay, then the parcel and the invoice, side by side")
    await stage.until("WorkflowCompleted")


def _chapter(title: str, style: str = "bold") -> None:
    say("")
    say(title, style)


def _tell(history: list[FoundEvent]) -> None:
    _chapter(f"The history of {INSTANCE_ID}: all there is, and all that is needed")
    say("")
    data().print(history_table(history))


def _tell_before_and_after(history: History) -> None:
    """What one event changed: the charge that the second worker finished."""
    sequence = next(
        found.event.sequence
        for found in history.events
        if isinstance(found.event.body, TaskCompleted)
        and found.event.body.path == "charge"
    )
    _chapter(f"The state before and after event {sequence}, folded from the log alone")
    say("")
    print_changes(history.diff(sequence - 1, sequence), Format.TABLE)


def _conclude(broken: list[str], verdict: Verdict) -> None:
    broken += [
        f"expected {one.expected}, but {one.seen} ({one.invariant} at {one.offset})"
        for one in verdict.violations
    ]
    if broken:
        raise WorkflowError("; ".join(broken))
    say("")
    say("✓ completed; what the first worker had done stayed done", "bold green")
    say(
        "✓ the charge began twice, under one idempotency key, and counts once",
        "bold green",
    )
    say(
        f"✓ audit verify: {verdict.events} events checked, every invariant holds",
        "bold green",
    )
