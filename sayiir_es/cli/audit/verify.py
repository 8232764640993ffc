"""`sayiir-es audit verify`: prove from the topics what is claimed of them."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import (
    DEFAULT_BACKEND,
    BackendOption,
    checked_id,
    open_backend,
)
from sayiir_es.cli.environment import configure_logs
from sayiir_es.cli.failures import FAILED
from sayiir_es.cli.output import Format, OutputOption, print_message, print_rows
from sayiir_es.core.model.errors import UsageError

if TYPE_CHECKING:
    from sayiir_es.audit.chain import Proof
    from sayiir_es.audit.verify.verify import Verdict


COLUMNS = ("invariant", "partition", "offset", "instance", "expected", "seen")


def verify(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="[EXPORT]", help="An export's directory; else the log."),
    ] = None,
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
    public_key: Annotated[
        Path | None,
        typer.Option(
            "--public-key",
            metavar="FILE",
            help="Prove by the checkpoints that this key signed.",
        ),
    ] = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Check every invariant that the topics can show; exit 1 if one is broken.

    Shares no code with what decides and folds the events.
    """
    if instance_id is not None:
        checked_id(instance_id)
    if path is not None:
        verdict = _verify_export(path, instance_id, state_dir, public_key)
    else:
        verdict = _verify_backend(url, instance_id, state_dir, public_key)
    rows = [_row(asdict(violation)) for violation in verdict.violations]
    print_rows(rows, COLUMNS, output)
    if public_key is not None:
        _print_proofs(verdict.proofs)
    checked = f"{verdict.events} events checked"
    if verdict.holds:
        print_message(f"{checked}, every invariant holds", "bold green")
        return 0
    count = len(verdict.violations)
    print_message(f"{checked}, {count} violation{'s' * (count != 1)}", "bold red")
    return FAILED


def _print_proofs(proofs: tuple[Proof, ...]) -> None:
    """Print how far the key proves each partition that has events."""
    for proof in proofs:
        if not proof.events:
            continue
        behind = proof.events - proof.proved
        print_message(
            f"partition {proof.partition}: signed up to offset {proof.end}, "
            f"{proof.proved} event{'s' * (proof.proved != 1)}; {behind} behind it"
        )


def _row(violation: dict[str, object]) -> dict[str, object]:
    violation["instance"] = violation.pop("instance_id")
    return {name: violation[name] for name in COLUMNS}


def _verify_backend(
    url: str, instance_id: str | None, state_dir: Path | None, public_key: Path | None
) -> Verdict:
    backend = open_backend(url)
    from sayiir_es.audit.verify.verify import (  # noqa: PLC0415 (slow to import)
        keys_of,
        verify_log,
    )
    from sayiir_es.cli.progress import progress_bar  # noqa: PLC0415 (slow to import)

    async def work() -> Verdict:
        keys = keys_of(public_key, instance_id)
        with progress_bar("verifying") as progress:
            return await verify_log(
                backend.open_log(), instance_id, state_dir, keys, progress
            )

    try:
        return asyncio.run(work())
    finally:
        backend.close()


def _verify_export(
    path: Path,
    instance_id: str | None,
    state_dir: Path | None,
    public_key: Path | None,
) -> Verdict:
    if state_dir is not None:
        raise UsageError("expected a log for --state-dir, but an export")
    configure_logs(serves=False)
    from sayiir_es.audit.export.verifying import (  # noqa: PLC0415 (slow to import)
        verify_export,
    )
    from sayiir_es.cli.progress import progress_bar  # noqa: PLC0415 (slow to import)

    with progress_bar("verifying") as progress:
        return verify_export(
            path, instance_id=instance_id, public_key=public_key, progress=progress
        )
