"""One command for many instances, by criteria: asks first, and tells what failed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from sayiir_es.cli.connection import in_session
from sayiir_es.cli.failures import REJECTED
from sayiir_es.cli.instance.criteria import CriteriaOptions, takes_options
from sayiir_es.cli.output import Format, print_message, print_object, print_rows
from sayiir_es.cli.stdout import write_line
from sayiir_es.core.model.errors import CommandRefusedError, UsageError
from sayiir_es.operations.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.client.bulk import BulkResult
    from sayiir_es.client.session import Session
    from sayiir_es.core.model.commands import Command
    from sayiir_es.core.model.errors import WorkflowError

    Verb = TypeVar("Verb", bound=Callable[..., int])

OptionalIdArgument = Annotated[
    str | None,
    typer.Argument(metavar="ID", help="The instance id; leave it out for criteria."),
]


@dataclass(frozen=True, kw_only=True)
class BulkOptions(CriteriaOptions):
    """The options of a command for many instances."""

    every: Annotated[
        bool, typer.Option("--all", help="All to which the command can apply.")
    ] = False
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask; needed without a terminal.")
    ] = False
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the ids of those that match.")
    ] = False

    @property
    def has_criteria(self) -> bool:
        """Whether instances are named by what they are."""
        return self.every or self.has_any


def takes_bulk_options(verb: Verb) -> Verb:
    """Give a verb an option for each field of its parameter `bulk`."""
    return takes_options("bulk", BulkOptions)(verb)


def check_target(instance_id: str | None, bulk: BulkOptions) -> None:
    """Check that there is either an id or criteria.

    Raises:
        UsageError: if there is neither, or both, or a dry run of a single command.
    """
    if instance_id is None and not bulk.has_criteria:
        raise UsageError("expected an ID, criteria such as --status failed, or --all")
    if instance_id is not None and (bulk.has_criteria or bulk.dry_run):
        raise UsageError("expected an ID or criteria, but both")


def send_to_matching(
    bulk: BulkOptions,
    make_command: Callable[[str], Command],
    url: str,
    output: Format,
) -> int:
    """Send a command to all instances that match; the exit code.

    Asks before, with the number of instances, unless `--yes` is given.

    Raises:
        UsageError: if nobody can be asked.
    """
    if not (bulk.yes or bulk.dry_run or sys.stdin.isatty()):
        raise UsageError(
            "expected --yes or --dry-run where no terminal can be asked, but neither"
        )
    kind = type(make_command(""))
    search = bulk.search()

    async def find(session: Session) -> list[str]:
        from sayiir_es.client.bulk import (  # noqa: PLC0415 (slow to import)
            apply_to_statuses,
            find_ids,
        )

        return await find_ids(session, apply_to_statuses(search, kind))

    instance_ids = in_session(url, find)
    if bulk.dry_run:
        _print_ids(instance_ids, output)
        return 0
    name = kind.__name__.removesuffix("Workflow").removeprefix("Send").lower()
    if instance_ids and not bulk.yes:
        many = f"{len(instance_ids)} instance{'s' if len(instance_ids) > 1 else ''}"
        typer.confirm(f"{name} {many}?", abort=True, err=True)
    result = _send(instance_ids, make_command, name, url)
    _print_result(result, output)
    return REJECTED if result.errors else 0


def _send(
    instance_ids: list[str], make_command: Callable[[str], Command], name: str, url: str
) -> BulkResult:
    from sayiir_es.cli.progress import progress_bar  # noqa: PLC0415 (slow to import)
    from sayiir_es.client.bulk import (  # noqa: PLC0415 (as above)
        BulkResult,
        send_to_all,
    )

    if not instance_ids:
        return BulkResult(done=0, errors={})
    with progress_bar(name, unit="instances") as progress:
        return in_session(
            url,
            lambda session: send_to_all(session, instance_ids, make_command, progress),
        )


def _print_ids(instance_ids: list[str], output: Format) -> None:
    if output is Format.TABLE:
        for instance_id in instance_ids:
            write_line(visible(instance_id))
    else:
        print_rows([{"instance_id": one} for one in instance_ids], (), output)
    print_message(f"{len(instance_ids)} match; nothing was sent", "dim")


def _print_result(result: BulkResult, output: Format) -> None:
    failed = [
        {"instance_id": instance_id, "code": _code_of(error), "error": str(error)}
        for instance_id, error in result.errors.items()
    ]
    if output is Format.TABLE:
        print_rows(failed, ("instance_id", "code", "error"), output)
        print_message(f"{result.done} done, {len(failed)} failed")
    else:
        print_object({"done": result.done, "failed": failed}, output)


def _code_of(error: WorkflowError) -> str:
    return error.rejection if isinstance(error, CommandRefusedError) else error.code
