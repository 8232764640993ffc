"""Whether the workflows that one process registers can be told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sayiir_es.core.authoring.workflow import Workflow

SHOWN_DIGITS = 12
"""Digits of a graph digest that tell two definitions apart for people."""


def check_unique(workflows: Iterable[tuple[str, Workflow]]) -> None:
    """Check that workflows of one name and version are equal; each with its place.

    Raises:
        ValueError: if two are not: code is found by name, version and path.
    """
    known: dict[tuple[str, str | None], tuple[str, Workflow]] = {}
    for place, workflow in workflows:
        key = workflow.workflow_id, workflow.version
        first_place, first = known.setdefault(key, (place, workflow))
        if first.graph.digest != workflow.graph.digest:
            raise ValueError(
                f"expected one definition of {workflow.graph.title} in a process, but "
                f"{first_place} ({first.graph.digest[:SHOWN_DIGITS]}…) and {place} "
                f"({workflow.graph.digest[:SHOWN_DIGITS]}…) differ: give one of them "
                "another name, or a version"
            )
