"""Paths of one graph as paths of another: what a migration moves, and where to.

A mapping names nodes or branches of the old graph, without iterations, and where they
are in the new one: as deep as before, since what is around them moves along. What
stands inside moves with them; a path that nothing names stays. Iterations stay.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sayiir_es.core.graph.paths import join

if TYPE_CHECKING:
    from collections.abc import Mapping

_ITERATION = re.compile("(.+?)(@[0-9]+)?")
"""A segment, and the iteration that it carries; `@default` is none."""

WITH_PATHS = ("result", "value", "joined", "routed", "undo", "caught")
"""How references begin that name a value by the path of a node."""


class PathMapping:
    """Maps paths and references; total, whatever the mapping says.

    Attributes:
        conflict: A path of the old graph that the mapping leads to two places, or to
            one that is deeper or less deep; None: there is none.
    """

    def __init__(self, mapping: Mapping[str, str]) -> None:
        self.conflict: str | None = None
        self._names: dict[str, str] = {}
        """By a path of the old graph, its last segment in the new one."""
        places: dict[str, str] = {}
        for old, new in sorted(mapping.items()):
            segments, names = old.split("/"), new.split("/")
            if len(segments) != len(names) or not all((*segments, *names)):
                self.conflict = self.conflict or old
                continue
            for depth, name in enumerate(names, start=1):
                above, place = "/".join(segments[:depth]), "/".join(names[:depth])
                if places.setdefault(above, place) != place:
                    self.conflict = self.conflict or old
                self._names.setdefault(above, name)

    def path(self, path: str) -> str:
        """Where a path of the old graph is in the new one."""
        if not self._names or not path:
            return path
        moved: list[str] = []
        above = ""
        for segment in path.split("/"):
            match = _ITERATION.fullmatch(segment)
            name, iteration = (match[1], match[2] or "") if match else (segment, "")
            above = join(above, name)
            moved.append(self._names.get(above, name) + iteration)
        return "/".join(moved)

    def reference(self, reference: str) -> str:
        """A reference of a value as it is named with the new graph."""
        what, colon, path = reference.partition(":")
        if not colon or what not in WITH_PATHS:
            return reference
        return f"{what}:{self.path(path)}"
