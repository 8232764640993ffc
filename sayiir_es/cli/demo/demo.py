"""`sayiir-es demo`: a worker is killed in the middle of an order, and nothing is lost.

What is printed while it runs are the events that any consumer of the log would read. At
its end every claim is checked; if one is not true, the exit code is 1.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.environment import configure_logs
from sayiir_es.cli.instance.state import print_changes
from sayiir_es.cli.output import Format, print_message
from sayiir_es.core.model.errors import WorkflowError
from sayiir_es.core.model.events import TaskCompleted

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sayiir_es.audit.history import History
    from sayiir_es.audit.verify.verify import Verdict
    from sayiir_es.cli.demo.cluster import DemoCluster
    from sayiir_es.engine.valid_events import FoundEvent

INSTANCE_ID = "order-7"


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
        asyncio.run(_run(Path(directory), keep=keep is not None))


async def _run(directory: Path, *, keep: bool) -> None:
    configure_logs(serves=False)
    from sayiir_es.cli.demo.checks import broken_claims  # noqa: PLC0415 (slow)
    from sayiir_es.cli.demo.cluster import DemoCluster  # noqa: PLC0415 (slow)

    cluster = DemoCluster(directory, INSTANCE_ID)
    await cluster.open()
    try:
        await _run_order(cluster)
        history = cluster.history()
        problems = broken_claims(cluster.events(), history, directory)
        _print_history(history)
        _print_change(await cluster.read_history())
        _print_verdict(problems, await cluster.verify())
        if keep:
            print_message(
                f"look again:  sayiir-es instance show {INSTANCE_ID} "
                f"--backend {cluster.backend.url}",
                "dim",
            )
    except TimeoutError as error:
        for line in cluster.worker_output():
            print_message(line)
        raise WorkflowError(str(error)) from error
    finally:
        await cluster.close()


async def _run_order(cluster: DemoCluster) -> None:
    _print_heading("1  a worker starts, on one SQLite file")
    first = await cluster.start_worker("first")
    _print_heading("2  an order comes in; the shelf is empty at the first look")
    await cluster.start_order()
    await cluster.until("SignalAwaited", path="approval")
    _print_heading("3  it waits for a signal, holding nothing; somebody approves")
    await cluster.approve()
    await cluster.until("DeadlineSet", path="charge")
    await cluster.until_ran("charge", 1)
    _print_heading("4  kill -9, in the middle of the charge", "bold red")
    await cluster.kill(first)
    _print_heading("5  another worker starts: it knows what the log knows")
    await cluster.start_worker("second")
    await cluster.until("DelayStarted", path="cool_off")
    _print_heading("6  a durable delay, then the parcel and the invoice, side by side")
    await cluster.until("WorkflowCompleted")


def _print_heading(title: str, style: str = "bold") -> None:
    print_message("")
    print_message(title, style)


def _print_history(entries: list[FoundEvent]) -> None:
    from sayiir_es.cli.event_lines import print_history  # noqa: PLC0415 (slow)

    _print_heading(
        f"The history of {INSTANCE_ID}: all there is, and all that is needed"
    )
    print_message("")
    print_history(entries)


def _print_change(history: History) -> None:
    """Print what one event changed: the charge that the second worker finished."""
    sequence = next(
        entry.event.sequence
        for entry in history.events
        if isinstance(entry.event.body, TaskCompleted)
        and entry.event.body.path == "charge"
    )
    _print_heading(
        f"The state before and after event {sequence}, folded from the log alone"
    )
    print_message("")
    print_changes(history.diff(sequence - 1, sequence), Format.TABLE)


def _print_verdict(problems: list[str], verdict: Verdict) -> None:
    problems += [
        f"expected {one.expected}, but {one.seen} ({one.invariant} at {one.offset})"
        for one in verdict.violations
    ]
    if problems:
        raise WorkflowError("; ".join(problems))
    print_message("")
    print_message(
        "✓ completed; what the first worker had done stayed done", "bold green"
    )
    print_message(
        "✓ the charge began twice, under one idempotency key, and counts once",
        "bold green",
    )
    print_message(
        f"✓ audit verify: {verdict.events} events checked, every invariant holds",
        "bold green",
    )
