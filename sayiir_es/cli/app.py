"""`sayiir-es`: the command line. stdout is data, stderr is talk.

Every failure ends here: it becomes an exit code, an error code, a sentence, and the
page to read. What ends quietly is a reader that left (`| head`) and Ctrl-C.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from sayiir_es.cli import audit, doctor, event, partition, projector, topic, worker
from sayiir_es.cli.dead_letter import commands as dead_letter
from sayiir_es.cli.demo import commands as demo
from sayiir_es.cli.failures import INTERRUPTED, exit_code_of, report
from sayiir_es.cli.instance import commands as instance
from sayiir_es.cli.output import ReaderGoneError
from sayiir_es.cli.schema import commands as schema
from sayiir_es.cli.workflow import commands as workflow
from sayiir_es.core.model.errors import LogUnavailableError, UsageError, WorkflowError
from sayiir_es.settings import load_settings
from sayiir_es.telemetry import configure_logging

PROGRAM = "sayiir-es"
CHATTY = ("aiokafka",)
"""Libraries that tell by `info` what only their authors want to know."""

SERVERS = ("worker", "projector")
"""Commands that run on and log what they do; the others log errors only."""

app = typer.Typer(
    name=PROGRAM,
    help="Durable Python workflows whose only truth is a log of Avro events.",
    epilog="Example: sayiir-es demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog="Example: sayiir-es demo")(demo.demo)
app.command(epilog="Example: sayiir-es doctor")(doctor.doctor)
app.add_typer(worker.app, name="worker")
app.add_typer(projector.app, name="projector")
app.add_typer(topic.app, name="topic")
app.add_typer(instance.app, name="instance")
app.add_typer(event.app, name="event")
app.add_typer(audit.app, name="audit")
app.add_typer(workflow.app, name="workflow")
app.add_typer(dead_letter.app, name="dead-letter")
app.add_typer(partition.app, name="partition")
app.add_typer(schema.app, name="schema")


def _print_version(asked: bool) -> None:  # noqa: FBT001 (typer's callback)
    if asked:
        sys.stdout.write(f"{PROGRAM} {version('sayiir-es')}\n")
        raise typer.Exit


@app.callback()
def settle(
    context: typer.Context,
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Say which."
        ),
    ] = False,
) -> None:
    """Durable Python workflows whose only truth is a log of Avro events."""
    serves = context.invoked_subcommand in SERVERS
    settings = load_settings()
    chosen = serves or "log_level" in settings.model_fields_set
    configure_logging(
        level=settings.log_level if chosen else "error", format=settings.log_format
    )
    if settings.log_level != "debug":
        for name in CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)


def main() -> None:
    """Run the command line of this process and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    try:
        code: object = app(args=arguments, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except (ReaderGoneError, BrokenPipeError):
        # What Python still holds for a reader that left must not be complained of.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except typer.TyperException as error:
        return _failed(UsageError(error.format_message().strip()))
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except WorkflowError as error:
        return _failed(error)
    except OSError as error:
        return _failed(LogUnavailableError(f"expected a usable log, but {error}"))
    return code if isinstance(code, int) else 0


def _failed(error: WorkflowError) -> int:
    # Empty: no arguments were given, and the help was printed instead.
    if str(error):
        report(error)
    return exit_code_of(error)
