"""What a worker can run; its record on the definitions topic has the worker's key.

With it a client can say why an attempt waits: its owner lacks the code, or a tag.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.json_fields import Fields
from sayiir_es.core.model.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sayiir_es.core.graph.graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The digests of the graphs whose code a worker has, and its tags.

    With `tags` None it runs tasks of any tags.
    """

    graphs: frozenset[str]
    tags: frozenset[str] | None

    def record(self) -> bytes:
        """The value of its record on the topic: a JSON object."""
        tags = None if self.tags is None else sorted(self.tags)
        return json.dumps({"graphs": sorted(self.graphs), "tags": tags}).encode()

    def obstacle(self, graph: Graph, paths: Iterable[str]) -> tuple[str, str] | None:
        """The first path whose attempt this worker must not run, and why; or None."""
        for path in paths:
            if graph.digest not in self.graphs:
                return path, f"the code of {graph.name!r}"
            place = graph.place(path)
            if self.tags is None or place is None:
                continue
            if isinstance(place.node, TaskNode):
                missing = sorted({*place.node.tags} - self.tags)
                if missing:
                    return path, f"the tag {missing[0]!r}"
        return None


def read_capabilities(value: bytes) -> Capabilities:
    """Read what `Capabilities.record` wrote.

    Raises:
        DecodeError: if it is something else.
    """
    try:
        fields = Fields(json.loads(value), "announcement")
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"expected an announcement as JSON, but {error}") from error
    has_tags = fields.data.get("tags") is not None
    return Capabilities(
        graphs=frozenset(fields.texts("graphs")),
        tags=frozenset(fields.texts("tags")) if has_tags else None,
    )
