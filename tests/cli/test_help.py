"""Each `--help` ends with an example, and each example runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from sayiir_es import run_durable_workflow
from sayiir_es.client.backends import EmbeddedBackend
from sayiir_es.log.port import Topic
from tests.cli.processes import running
from tests.cli.unreadable_records import START, letter, produce

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal

COMMANDS = [
    *(
        "",
        "demo",
        "dev",
        "doctor",
        "error",
        "serve",
        "worker",
        "worker run",
        "worker list",
        "executor",
        "executor run",
        "executor list",
        "projector",
        "projector run",
    ),
    *("topic", "topic create", "topic check", "event", "event tail", "instance"),
    *("instance start", "instance list", "instance show", "instance result"),
    *("instance signal", "instance pause", "instance unpause", "instance cancel"),
    *("instance retry", "instance migrate", "instance fork", "instance count"),
    *("instance history", "instance state", "instance diff", "instance timeline"),
    *("audit", "audit verify", "audit replay", "audit export", "audit import"),
    *(
        "partition",
        "partition list",
        "partition show",
        "partition forward",
        "dead-letter",
        "dead-letter list",
    ),
    *("dead-letter show", "dead-letter retry", "dead-letter drop"),
    *("limit", "limit list", "limit show", "limit set", "limit unset"),
    *("workflow", "workflow list", "workflow show", "workflow graph"),
    *("schema", "schema list", "schema check", "schema register"),
]
IN_TESTS_OF_THEIR_OWN = {
    *("demo", "dev", "serve", "projector run", "worker run", "audit import"),
    "executor run",
    "partition show",
}
NEED_KAFKA = {"topic create", "topic check"}


def example_of(help_text: str) -> str:
    """What stands behind `Example: sayiir-es` at the end of a help text."""
    match = re.search(r"Example:\s+sayiir-es\s+(.*)\Z", help_text.strip(), re.DOTALL)
    assert match, help_text
    return " ".join(match[1].split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_an_example_and_fits_a_hundred_columns(
    terminal: Terminal, command: str
) -> None:
    result = terminal(f"{command} --help")
    assert result.code == 0
    assert max(map(len, result.out.splitlines())) <= 100
    example = example_of(result.out)
    assert example.startswith(command)


def test_every_command_is_known_here(terminal: Terminal) -> None:
    groups = {name for name in COMMANDS if " " not in name}
    for name in COMMANDS:
        parent, _, verb = name.rpartition(" ")
        assert verb in terminal(f"{parent} --help").out
    listed = re.findall(r"^│ (\w[\w-]*) ", terminal("--help").out, re.MULTILINE)
    assert set(listed) <= groups | {""}
    for group in groups - {"", "demo", "dev", "doctor", "error", "serve"}:
        verbs = re.findall(r"^│ (\w+) ", terminal(f"{group} --help").out, re.MULTILINE)
        assert verbs, group
        assert {f"{group} {verb}" for verb in verbs} <= set(COMMANDS)


@pytest.mark.parametrize(
    "command",
    [c for c in COMMANDS if " " in c and c not in IN_TESTS_OF_THEIR_OWN | NEED_KAFKA]
    + ["doctor", "error"],
)
def test_the_example_runs(terminal: Terminal, command: str) -> None:
    from examples.orders import orders  # noqa: PLC0415 (after the directory is set)

    value = {"item": "teapot", "amount": 5}
    if command == "instance retry":
        value = {}  # it fails
    with EmbeddedBackend(terminal.cwd / "log.db") as backend:
        seeded = "order-8" if command == "instance start" else "order-7"
        run_durable_workflow(orders, seeded, value, backend=backend)
    if command == "instance result":
        terminal("instance signal order-7 approval --payload", '{"ok":true}')
        with running(terminal.cwd / "words", "worker", "run", "examples.orders"):
            assert terminal("instance result order-7 --wait").code == 0
    if command.startswith("dead-letter"):
        start = START.replace(b"doubling", b"orders")
        produce(terminal.backend, Topic.DEAD_LETTERS, [letter(start)])
    if command == "instance unpause":
        terminal("instance pause order-7")
    answer = terminal(example_of(terminal(f"{command} --help").out))
    assert answer.code == 0, answer.err


@pytest.mark.parametrize("group", ["", "instance", "worker", "topic", "event"])
def test_nothing_typed_shows_the_help(terminal: Terminal, group: str) -> None:
    result = terminal(group)
    assert result.code == 2
    assert "Example:" in result.out + result.err


def test_the_version_is_printed(terminal: Terminal) -> None:
    assert re.fullmatch(r"sayiir-es \d+\.\d+\.\d+\n", terminal("--version").out)


def test_bad_settings_are_named_all_at_once(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAYIIR_LOG_LEVEL", "loud")
    monkeypatch.setenv("SAYIIR_LOG_FORMAT", "pretty")
    result = terminal("instance list")
    assert result.code == 2
    assert "error settings" in result.err
    assert "SAYIIR_LOG_LEVEL" in result.err
    assert "SAYIIR_LOG_FORMAT" in result.err
