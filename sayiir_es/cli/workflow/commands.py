"""`sayiir-es workflow`: the workflows that stand on the definitions topic."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import DEFAULT_BACKEND, BackendOption, in_session
from sayiir_es.cli.output import (
    Format,
    OutputOption,
    data,
    print_object,
    print_rows,
    say,
    to_json,
    write_line,
)
from sayiir_es.cli.workflow.mermaid import draw_mermaid
from sayiir_es.cli.workflow.nodes import words_by_path, words_of
from sayiir_es.cli.workflow.svg import draw_svg
from sayiir_es.cli.workflow.text import draw_text
from sayiir_es.core.graph.record import graph_to_json
from sayiir_es.core.model.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from sayiir_es.client.session import Session
    from sayiir_es.core.graph.graph import Graph

SHORT_HASH = 12
"""Digits of a hash that a table shows; `--version` takes as few as are unique."""

STEPS_SHOWN = 6


class GraphFormat(StrEnum):
    """How a graph is drawn."""

    TEXT = "text"
    MERMAID = "mermaid"
    SVG = "svg"
    JSON = "json"


app = typer.Typer(
    help="Look at the published workflows.",
    epilog="Example: sayiir-es workflow list",
    no_args_is_help=True,
)
NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A published workflow.")
]
VersionOption = Annotated[
    str,
    typer.Option(
        "--version",
        metavar="HASH",
        help="Of that definition hash or graph digest, or the beginning of one; the "
        "last published when left out.",
    ),
]


@app.command("list", epilog="Example: sayiir-es workflow list -o jsonl")
def list_workflows(
    *, backend: BackendOption = DEFAULT_BACKEND, output: OutputOption = Format.TABLE
) -> None:
    """List the workflows that a worker or client has published."""
    rows: list[dict[str, object]] = []
    for name, versions in sorted(in_session(backend, _published).items()):
        last = versions[-1]
        rows.append(
            {
                "name": name,
                "version": last.definition_hash[:SHORT_HASH],
                "versions": len(versions),
                "nodes": len(last.places),
                "steps": _steps(last),
                "definition_hash": last.definition_hash,
                "graph_digest": last.digest,
            }
        )
    if not rows:
        say("no workflows; a worker publishes those of its modules", "dim")
    print_rows(rows, ("name", "version", "versions", "nodes", "steps"), output)


@app.command(epilog="Example: sayiir-es workflow show orders")
def show(
    name: NameArgument,
    *,
    version: VersionOption = "",
    backend: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show a workflow: its versions, and every node with its options."""
    versions = _versions(backend, name)
    graph = _chosen(versions, name, version)
    shown: dict[str, object] = {
        "name": graph.name,
        "definition_hash": graph.definition_hash,
        "graph_digest": graph.digest,
        "metadata": None if graph.metadata is None else json.loads(graph.metadata),
    }
    nodes = words_by_path(graph).items()
    if output is not Format.TABLE:
        shown["versions"] = [
            {"definition_hash": one.definition_hash, "graph_digest": one.digest}
            for one in versions
        ]
        shown["nodes"] = [
            {"path": path, "kind": words.kind, "options": list(words.options)}
            for path, words in nodes
        ]
        print_object(shown, output)
        return
    print_object({**shown, "versions": len(versions)}, output)
    write_line("")
    rows = [
        {"path": path, "kind": words.kind, "options": " · ".join(words.options)}
        for path, words in nodes
    ]
    print_rows(rows, ("path", "kind", "options"), output)


@app.command(epilog="Example: sayiir-es workflow graph orders")
def graph(
    name: NameArgument,
    *,
    version: VersionOption = "",
    backend: BackendOption = DEFAULT_BACKEND,
    output: Annotated[
        GraphFormat, typer.Option("--output", "-o", help="How to draw it.")
    ] = GraphFormat.TEXT,
) -> None:
    """Draw a workflow's graph."""
    found = _chosen(_versions(backend, name), name, version)
    match output:
        case GraphFormat.TEXT:
            console = data()
            for line in draw_text(found, width=console.width):
                console.print(line, soft_wrap=True)
        case GraphFormat.MERMAID:
            write_line(draw_mermaid(found))
        case GraphFormat.SVG:
            write_line(draw_svg(found))
        case GraphFormat.JSON:
            write_line(to_json(graph_to_json(found), indent=2))


async def _published(session: Session) -> dict[str, list[Graph]]:
    """The versions of every workflow, in the order in which they were published."""
    await session.open()
    await session.definitions.refresh()
    found: dict[str, list[Graph]] = {}
    for one in session.registry.graphs():
        found.setdefault(one.name, []).append(one)
    for name, versions in found.items():
        last = session.registry.by_name(name, None)
        if last is not None:  # it may have been published before, too
            versions.remove(last)
            versions.append(last)
    return found


def _versions(backend: str, name: str) -> list[Graph]:
    """The versions of one workflow, the last published at the end.

    Raises:
        NotFoundError: if there is none of that name.
    """
    found = in_session(backend, _published).get(name)
    if found is None:
        raise NotFoundError(
            f"expected a published workflow {name!r}, but there is none"
        )
    return found


def _chosen(versions: list[Graph], name: str, version: str) -> Graph:
    """The version whose hash or digest begins so.

    Raises:
        NotFoundError: if none does.
        UsageError: if several do.
    """
    found = [
        one
        for one in versions
        if one.definition_hash.startswith(version) or one.digest.startswith(version)
    ]
    if not found:
        raise NotFoundError(
            f"expected a version of {name!r} whose hash begins with {version!r}, but "
            "there is none"
        )
    if version and len(found) > 1:
        raise UsageError(
            f"expected one version of {name!r} whose hash begins with {version!r}, but "
            f"{len(found)}"
        )
    return found[-1]


def _steps(graph: Graph) -> str:
    """The first nodes of the root chain, by name."""
    titles = [words_of(node, is_join=False).title for node in graph.chain[:STEPS_SHOWN]]
    more = ["…"] if len(graph.chain) > STEPS_SHOWN else []
    return " → ".join((*titles, *more))
