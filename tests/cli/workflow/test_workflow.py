"""`sayiir-es workflow list` and `show`: published workflows and their versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from sayiir_es import Flow, Workflow, run_durable_workflow
from sayiir_es.client.backends import EmbeddedBackend
from sayiir_es.core.graph.record import graph_from_json
from sayiir_es.core.json_fields import Fields, is_list
from sayiir_es.operations.drawing.node_text import duration_text
from tests.cli.every_node import everything, plain
from tests.cli.sample_workflows import approving, doubling

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal


@pytest.fixture
def seeded_terminal(terminal: Terminal) -> Terminal:
    """A log that knows three workflows, one in two versions."""
    with EmbeddedBackend(terminal.cwd / "log.db") as backend:
        older = Flow("doubling").then(plain).build()
        for name, workflow in enumerate((older, doubling, approving, everything)):
            run_durable_workflow(workflow, f"i{name}", 1, backend=backend)
    return terminal


def objects(value: object) -> list[dict[str, object]]:
    """A list of JSON objects."""
    assert is_list(value)
    return [{str(k): v for k, v in Fields(one, "$").data.items()} for one in value]


def test_every_published_workflow_is_listed_with_its_last_version(
    seeded_terminal: Terminal,
) -> None:
    rows = seeded_terminal("workflow list -o jsonl").rows()
    assert [row["name"] for row in rows] == ["approving", "doubling", "everything"]
    assert [row["versions"] for row in rows] == [1, 2, 1]
    assert rows[1]["definition_hash"] == doubling.definition_hash
    assert rows[0]["steps"] == "double → go"
    assert len(seeded_terminal("workflow list").out.splitlines()) == 4


def test_an_empty_log_has_no_workflows(terminal: Terminal) -> None:
    terminal.make_log()
    result = terminal("workflow list -o json")
    assert (result.code, result.out) == (0, "[]\n")


def test_show_has_every_node_with_what_its_author_chose(
    seeded_terminal: Terminal,
) -> None:
    fields = seeded_terminal("workflow show everything -o json").json()
    assert fields["metadata"] == {"team": "seeded_terminal"}
    nodes = {
        str(node["path"]): (node["kind"], node["options"])
        for node in objects(fields["nodes"])
    }
    assert list(nodes) == list(everything.graph.places)
    assert nodes["careful"] == (
        "task",
        ["timeout 90s", "1 retry from 1s", "priority 2", "tags gpu"],
    )
    assert nodes["approval"] == ("signal", ["waits for signal 'go'", "48h, then fails"])
    assert nodes["rest"] == ("delay", ["delay of 1500ms"])
    assert nodes["merge"][0] == "join"
    assert {kind for kind, _ in nodes.values()} == {
        *("task", "join", "delay", "signal", "fork", "route", "loop", "child"),
    }


def test_an_earlier_version_is_named_by_the_beginning_of_its_hash(
    seeded_terminal: Terminal,
) -> None:
    versions = seeded_terminal("workflow show doubling -o json").json()["versions"]
    first, last = (str(one["definition_hash"]) for one in objects(versions))
    for definition_hash, typed in ((first, f"--version {first[:8]}"), (last, "")):
        fields = seeded_terminal(f"workflow show doubling {typed} -o json").json()
        assert fields["definition_hash"] == definition_hash


def test_tables_fit_a_hundred_columns(seeded_terminal: Terminal) -> None:
    for typed in ("show everything", "graph everything", "graph approving"):
        text = seeded_terminal(f"workflow {typed}").out.splitlines()
        assert text
        assert max(map(cell_len, text)) <= 100


@pytest.mark.parametrize("verb", ["show", "graph"])
def test_an_unknown_workflow_or_version_exits_with_three(
    seeded_terminal: Terminal, verb: str
) -> None:
    for typed in ("nothing", "doubling --version ffffffffffffffff"):
        answer = seeded_terminal(f"workflow {verb} {typed}")
        assert (answer.code, answer.out) == (3, "")


def test_a_hash_that_names_two_versions_exits_with_two(
    seeded_terminal: Terminal,
) -> None:
    workflows: list[Workflow] = []
    with EmbeddedBackend(seeded_terminal.cwd / "log.db") as backend:
        for number in range(17):  # one digit more than there are
            flow = Flow("many").then(plain, name=f"n{number}").build()
            run_durable_workflow(flow, f"m{number}", 1, backend=backend)
            workflows.append(flow)
    digits = [flow.definition_hash[0] for flow in workflows]
    twice = next(digit for digit in digits if digits.count(digit) > 1)
    assert seeded_terminal(f"workflow show many --version {twice}").code == 2


def test_the_graph_as_json_is_the_graph(seeded_terminal: Terminal) -> None:
    result = seeded_terminal("workflow graph everything -o json")
    assert graph_from_json(result.out.encode()) == everything.graph


def test_a_graph_is_printed_as_text_svg_or_mermaid(seeded_terminal: Terminal) -> None:
    begins = {"text": "╭", "svg": "<svg ", "mermaid": "flowchart TD\n"}
    for output, begin in begins.items():
        result = seeded_terminal(f"workflow graph everything -o {output}")
        assert (result.code, result.out[: len(begin)]) == (0, begin)
    assert seeded_terminal("workflow graph everything -o table").code == 2


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [
        (0, "0ms"),
        (1, "1ms"),
        (1_500, "1500ms"),
        (2_000, "2s"),
        (90_000, "90s"),
        (120_000, "2m"),
        (172_800_000, "48h"),
    ],
)
def test_durations_are_told_in_the_largest_unit_that_fits(
    duration_ms: int, text: str
) -> None:
    assert duration_text(duration_ms) == text
