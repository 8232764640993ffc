"""`sayiir-es`: the command line. stdout is data, stderr is messages.

Every failure ends here: it becomes an exit code, an error code, a sentence, and the
page to read. What ends quietly is a reader that left (`| head`) and Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from typer.main import get_command

from sayiir_es.cli.environment import (
    is_json_wanted,
    keep_stderr_json,
    read_settings,
    write_json_message,
)
from sayiir_es.cli.failures import INTERRUPTED, exit_code_of, report
from sayiir_es.cli.lazy_group import LazyGroup, epilog_of
from sayiir_es.cli.stdout import ReaderGoneError
from sayiir_es.cli.termination import TERMINATED, TERMINATION
from sayiir_es.cli.verb_table import PROGRAM, VERBS
from sayiir_es.core.model.errors import LogUnavailableError, UsageError, WorkflowError
from sayiir_es.environment import tell_unknown

app = typer.Typer(
    name=PROGRAM,
    cls=LazyGroup,
    help=VERBS.help,
    epilog=epilog_of(VERBS),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:  # noqa: FBT001 (typer's callback)
    if value:
        from importlib.metadata import version  # noqa: PLC0415 (slow to import)

        sys.stdout.write(f"{PROGRAM} {version('sayiir-es')}\n")
        raise typer.Exit


@app.callback()
def check_environment(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Say which."
        ),
    ] = False,
) -> None:
    """Durable Python workflows whose only truth is a log of Avro events."""
    read_settings()
    tell_unknown(_warn)


def _warn(text: str) -> None:
    from sayiir_es.cli.output import print_message  # noqa: PLC0415 (slow to import)

    print_message(text, "yellow")


def main() -> None:
    """Run the command line of this process and exit with its code."""
    TERMINATION.install()
    if is_json_wanted():
        keep_stderr_json()
    try:
        code = run(sys.argv[1:])
        is_ended = TERMINATION.is_requested and code == INTERRUPTED
        sys.exit(TERMINATED if is_ended else code)
    except SystemExit as ending:
        is_text = not (ending.code is None or isinstance(ending.code, int))
        if not is_text or not is_json_wanted():
            raise
        # Python would print the text that a user's module ends with.
        write_json_message("message.printed", reason=str(ending.code))
        sys.exit(1)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    try:
        code: object = command_line().main(
            args=arguments, prog_name=PROGRAM, standalone_mode=False
        )
        sys.stdout.flush()
    except (ReaderGoneError, BrokenPipeError):
        # What Python still holds for a reader that left must not be complained of.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except typer.TyperException as error:
        return _fail(UsageError(error.format_message().strip()))
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except WorkflowError as error:
        return _fail(error)
    except OSError as error:
        return _fail(LogUnavailableError(f"expected a usable log, but {error}"))
    return code if isinstance(code, int) else 0


def command_line() -> LazyGroup:
    """The program with all of its commands."""
    group = get_command(app)
    assert isinstance(group, LazyGroup)
    group.fill(VERBS)
    return group


def _fail(error: WorkflowError) -> int:
    # Empty: no arguments were given, and the help was printed instead.
    if str(error):
        report(error)
    return exit_code_of(error)
