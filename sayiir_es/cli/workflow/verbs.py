"""`sayiir-es workflow`: the workflows that the definitions topic holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import DEFAULT_BACKEND, BackendOption, in_session
from sayiir_es.cli.output import (
    Format,
    OutputOption,
    print_message,
    print_object,
    print_rows,
)
from sayiir_es.cli.stdout import write_line
from sayiir_es.cli.workflow.graph_format import GraphFormat
from sayiir_es.core.model.errors import NotFoundError, UsageError
from sayiir_es.operations.drawing.node_text import duration_text, text_by_path
from sayiir_es.operations.published_workflows import read_published, steps_of

if TYPE_CHECKING:
    from sayiir_es.core.graph.graph import Graph

SHORT_HASH = 12
"""Digits of a hash that a table shows; `--version` takes as few as are unique."""


NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A published workflow.")
]
VersionOption = Annotated[
    str,
    typer.Option(
        "--version",
        metavar="VERSION|HASH",
        help="Of that version, definition hash or graph digest, or the beginning of "
        "one; the one that a start by name takes when left out.",
    ),
]


def list_workflows(
    *, url: BackendOption = DEFAULT_BACKEND, output: OutputOption = Format.TABLE
) -> None:
    """List the workflows that a worker or client has published."""
    rows: list[dict[str, object]] = []
    for name, versions in sorted(in_session(url, read_published).items()):
        last = versions[-1]
        rows.append(
            {
                "name": name,
                "version": last.version,
                "hash": last.definition_hash[:SHORT_HASH],
                "versions": len(versions),
                "nodes": len(last.places),
                "steps": steps_of(last),
                "definition_hash": last.definition_hash,
                "graph_digest": last.digest,
            }
        )
    if not rows:
        print_message("no workflows; a worker publishes those of its modules", "dim")
    columns = ("name", "version", "hash", "versions", "nodes", "steps")
    print_rows(rows, columns, output)


def show(
    name: NameArgument,
    *,
    version: VersionOption = "",
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show a workflow: its versions, and every node with its options."""
    versions = _versions(url, name)
    graph = _version(versions, name, version)
    fields: dict[str, object] = {
        "name": graph.name,
        "version": graph.version,
        "definition_hash": graph.definition_hash,
        "graph_digest": graph.digest,
        "timeout": (
            None if graph.timeout_ms is None else duration_text(graph.timeout_ms)
        ),
        "metadata": None if graph.metadata is None else json.loads(graph.metadata),
    }
    nodes = text_by_path(graph).items()
    if output is not Format.TABLE:
        fields["versions"] = [
            {
                "version": one.version,
                "definition_hash": one.definition_hash,
                "graph_digest": one.digest,
            }
            for one in versions
        ]
        fields["nodes"] = [
            {"path": path, "kind": node.kind, "options": list(node.options)}
            for path, node in nodes
        ]
        print_object(fields, output)
        return
    print_object({**fields, "versions": len(versions)}, output)
    write_line("")
    rows = [
        {"path": path, "kind": node.kind, "options": " · ".join(node.options)}
        for path, node in nodes
    ]
    print_rows(rows, ("path", "kind", "options"), output)


def graph(
    name: NameArgument,
    *,
    version: VersionOption = "",
    url: BackendOption = DEFAULT_BACKEND,
    output: Annotated[
        GraphFormat, typer.Option("--output", "-o", help="How to draw it.")
    ] = GraphFormat.TEXT,
) -> None:
    """Draw a workflow's graph."""
    version_graph = _version(_versions(url, name), name, version)
    from sayiir_es.cli.workflow.drawing import print_graph  # noqa: PLC0415 (slow)

    print_graph(version_graph, output)


def _versions(url: str, name: str) -> list[Graph]:
    """The versions of one workflow, the one at the end that a start by name takes.

    Raises:
        NotFoundError: if there is none of that name.
    """
    versions = in_session(url, read_published).get(name)
    if versions is None:
        raise NotFoundError(
            f"expected a published workflow {name!r}, but there is none"
        )
    return versions


def _version(versions: list[Graph], name: str, version: str) -> Graph:
    """The last published of that version, or the one whose hash or digest begins so.

    Raises:
        NotFoundError: if none does.
        UsageError: if several do.
    """
    named = [one for one in versions if version and one.version == version]
    if named:
        return named[-1]
    matches = [
        one
        for one in versions
        if one.definition_hash.startswith(version) or one.digest.startswith(version)
    ]
    if not matches:
        raise NotFoundError(
            f"expected a version of {name!r} whose hash begins with {version!r}, but "
            "there is none"
        )
    if version and len(matches) > 1:
        raise UsageError(
            f"expected one version of {name!r} whose hash begins with {version!r}, but "
            f"{len(matches)}"
        )
    return matches[-1]
