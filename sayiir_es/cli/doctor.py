"""`sayiir-es doctor`: checks everything that has to be right, and names the fix."""

from __future__ import annotations

import asyncio

from sayiir_es.cli.connection import DEFAULT_BACKEND, BackendOption, open_backend
from sayiir_es.cli.failures import FAILED
from sayiir_es.cli.output import Format, OutputOption, print_rows

_COLUMNS = ("", "check", "finding", "fix")


def doctor(
    *, url: BackendOption = DEFAULT_BACKEND, output: OutputOption = Format.TABLE
) -> int:
    """Check log, topics, retention, clock, partitions, workers, dead letters."""
    backend = open_backend(url)
    from sayiir_es.cli.health import Mark, examine  # noqa: PLC0415 (slow to import)

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
