"""`sayiir-es doctor`: checks everything that has to be right, and names the fix."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import DEFAULT_BACKEND, BackendOption, open_backend
from sayiir_es.cli.failures import FAILED
from sayiir_es.cli.output import Format, OutputOption, print_message, print_rows
from sayiir_es.core.model.errors import LogError, UsageError

if TYPE_CHECKING:
    from sayiir_es.client.backends import Backend, KafkaBackend

_COLUMNS = ("", "check", "finding", "fix")


def doctor(
    *,
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Mend the topics where possible; asks first."),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask; needed without a terminal.")
    ] = False,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Check log, topics, retention, clock, partitions, workers, dead letters."""
    if fix and not (yes or sys.stdin.isatty()):
        raise UsageError("expected --yes where no terminal can be asked, but not given")
    backend = open_backend(url)
    from sayiir_es.client.backends import KafkaBackend  # noqa: PLC0415 (slow to import)

    if not fix:
        return _examine(backend, output)
    if isinstance(backend, KafkaBackend):
        _fix(backend, yes=yes)
    else:
        print_message(f"nothing to mend: {backend.url} has no topics")
    return _examine(backend, output)


def _examine(backend: Backend, output: Format) -> int:
    from sayiir_es.operations.doctor.examination import (  # noqa: PLC0415 (slow)
        examine,
    )
    from sayiir_es.operations.doctor.finding import Mark  # noqa: PLC0415 (slow)

    findings = asyncio.run(examine(backend))
    rows = [
        {
            "" if output is Format.TABLE else "ok": finding.mark
            if output is Format.TABLE
            else finding.mark is not Mark.BAD,
            "check": finding.check,
            "finding": finding.finding,
            "fix": finding.fix,
        }
        for finding in findings
    ]
    print_rows(rows, _COLUMNS, output)
    return FAILED if any(finding.mark is Mark.BAD for finding in findings) else 0


def _fix(backend: KafkaBackend, *, yes: bool) -> None:
    """Tell what can be mended of the topics, ask, and do it."""
    from sayiir_es.operations.doctor.examination import (  # noqa: PLC0415 (slow)
        CONNECT_LIMIT_S,
    )

    log = backend.open_kafka_log(connect_limit_s=CONNECT_LIMIT_S)
    try:
        plan = asyncio.run(log.plan_repair())
        for step in plan.steps:
            print_message(f"to do: {step}")
        for words in plan.impossible:
            print_message(f"for an admin: {words}", "yellow")
        if not plan.steps:
            print_message("nothing to mend here", "dim")
            return
        if not yes:
            typer.confirm(f"do {len(plan.steps)} things?", abort=True, err=True)
        refused = asyncio.run(log.repair(plan))
    except LogError as error:
        print_message(f"not mended: {error}", "red")
        return
    for words in refused:
        print_message(f"not done: {words}", "red")
    print_message(f"{len(plan.steps) - len(refused)} done", "green")
