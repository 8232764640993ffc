"""A command starts fast: what it imports before it talks to the log."""

from __future__ import annotations

import inspect
import os
import shlex
import subprocess
import sys
from importlib import import_module
from typing import TYPE_CHECKING, get_args

import pytest

from sayiir_es.audit.export.formats import ExportFormat
from sayiir_es.cli.audit.export import FileFormat
from sayiir_es.cli.connection import DEFAULT_BACKEND
from sayiir_es.cli.verb_table import VERBS, Verb
from sayiir_es.cli.worker_options import DEFAULT_SLOTS
from sayiir_es.client import backends, worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sayiir_es.cli.verb_table import Entry

IMPORTED_BY_HELP = {
    "sayiir_es",
    "sayiir_es.cli",
    "sayiir_es.cli.app",
    "sayiir_es.cli.environment",
    "sayiir_es.cli.failures",
    "sayiir_es.cli.group_help",
    "sayiir_es.cli.lazy_group",
    "sayiir_es.cli.plain_values",
    "sayiir_es.cli.stdout",
    "sayiir_es.cli.termination",
    "sayiir_es.cli.verb_table",
    "sayiir_es.core",
    "sayiir_es.core.model",
    "sayiir_es.core.model.errors",
    "sayiir_es.environment",
}
"""All of ours: a new one is worth its milliseconds, or is imported later."""

SLOW = {
    *("aiokafka", "asyncio", "cryptography", "fastavro", "importlib.metadata"),
    *("pyarrow", "pydantic", "pydantic_settings", "rich.markdown", "rich.traceback"),
    *("rocksdict", "sqlite3", "structlog", "opentelemetry"),
}
"""What no help may import."""

SLOW_FOR_A_VERB = {
    "sayiir_es.engine.fold",  # it brings structlog, where this probe stops
    *("aiokafka", "cryptography", "opentelemetry", "pyarrow", "pydantic_settings"),
    *("rich.console", "rocksdict", "sqlite3"),
    *("sayiir_es.client.backends", "sayiir_es.client.session"),
    *("sayiir_es.audit", "sayiir_es.engine.worker"),
}
"""What no verb may import before it opens a backend."""

PRINT_MODULES = """
import sys
from sayiir_es.cli.app import run
code = run(sys.argv[1:])
print(*sys.modules, file=sys.stderr)
sys.exit(code)
"""

PRINT_MODULES_AT_THE_LOG = """
import os, sys
from sayiir_es.cli.app import run

class StopAtTheLog:
    # The logs of a command are set up first when it opens a backend.
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "structlog":
            print(*sys.modules, file=sys.stderr, flush=True)
            os._exit(0)

sys.meta_path.insert(0, StopAtTheLog)
run(sys.argv[1:])
sys.exit("expected a backend to be opened, but none was")
"""


def verbs(entries: Mapping[str, Entry], *path: str) -> Iterator[tuple[str, Verb]]:
    """Every verb of a table, with its words on the command line."""
    for name, entry in entries.items():
        if isinstance(entry, Verb):
            yield " ".join((*path, name)), entry
        else:
            yield from verbs(entry.entries, *path, name)


ALL_VERBS = dict(verbs(VERBS.entries))
OPENS_NO_BACKEND = {"error", "schema list", "schema check", "schema register"}
TAKES_A_PATH = {"audit export", "audit import", "projector run"}
"""Typer needs pydantic for a path that is typed."""


def modules_of(program: str, line: str) -> set[str]:
    """The modules that a process has imported at the end of the program."""
    process = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", program, *shlex.split(line)],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "SAYIIR_BACKEND": "file:no-such-directory/log.db"},
    )
    return set(process.stderr.split())


@pytest.mark.parametrize("line", ["--help", "instance --help", "audit --help"])
def test_the_help_of_a_group_imports_no_verb_and_nothing_slow(line: str) -> None:
    modules = modules_of(PRINT_MODULES, line)
    ours = {name for name in modules if name.partition(".")[0] == "sayiir_es"}
    assert ours == IMPORTED_BY_HELP
    assert not modules & SLOW


@pytest.mark.parametrize("name", sorted(ALL_VERBS.keys() - OPENS_NO_BACKEND))
def test_a_verb_imports_nothing_slow_before_it_opens_a_backend(name: str) -> None:
    modules = modules_of(PRINT_MODULES_AT_THE_LOG, ALL_VERBS[name].example)
    assert not modules & SLOW_FOR_A_VERB
    assert "pydantic" not in modules or name in TAKES_A_PATH


def test_a_version_needs_neither_settings_nor_a_log() -> None:
    modules = modules_of(PRINT_MODULES, "--version")
    assert not modules & (SLOW - {"importlib.metadata"})


@pytest.mark.parametrize("name", sorted(ALL_VERBS))
def test_the_table_says_of_a_verb_what_its_docstring_says(name: str) -> None:
    verb = ALL_VERBS[name]
    module, _, function = verb.function.partition(":")
    doc = inspect.getdoc(getattr(import_module(f"sayiir_es.cli.{module}"), function))
    assert doc is not None
    assert verb.help == doc.partition("\n")[0]
    assert verb.example.startswith(name)


def test_no_function_stands_twice_in_the_table() -> None:
    functions = [verb.function for verb in ALL_VERBS.values()]
    assert len(set(functions)) == len(functions)


def test_constants_of_slow_modules_are_those_of_the_command_line() -> None:
    assert DEFAULT_BACKEND == backends.DEFAULT_URL
    assert DEFAULT_SLOTS == worker.DEFAULT_SLOTS
    assert get_args(FileFormat) == tuple(ExportFormat)
