"""The id of a child: a text of the graph, filled in where its parent stands."""

from __future__ import annotations

import re

from sayiir_es.core.graph.paths import last_iteration

DEFAULT_CHILD_ID = "{instance_id}/{path}"

_NAME = re.compile(r"\{(instance_id|path|iteration)\}")
"""What a template may name: the parent's id, the path of the node, and the iteration of
the innermost loop around it, from 0."""


def wrong_template(template: str) -> str | None:
    """What is expected of the template of an id, if it is something else."""
    rest = _NAME.sub("", template)
    if template and "{" not in rest and "}" not in rest:
        return None
    return "a text with no other braces than {instance_id}, {path} and {iteration}"


def child_id_of(template: str, instance_id: str, path: str) -> str:
    """The id of the child that the node at `path` of an instance starts."""
    values = {
        "instance_id": instance_id,
        "path": path,
        "iteration": str(last_iteration(path)),
    }
    return _NAME.sub(lambda name: values[name.group(1)], template)
