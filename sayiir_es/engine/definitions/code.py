"""What a process can run of the attempts that a run awaits, and what it lacks.

A run goes on with the graph that it began with. The code of an attempt is that of the
very same graph, if the process has it; else that of today's definition of the same name
and version, where this has a node of the same kind at the same path. Where there is
none the attempt waits, and with it its instance: it is *stranded*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from sayiir_es.core.decide.owed import owed_attempt
from sayiir_es.core.graph.graph import title_of
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.graph.references import has_needed
from sayiir_es.core.graph.same_place import kind_of, same_place
from sayiir_es.core.model.rows import get_cursors, get_header, get_run
from sayiir_es.engine.definitions.job import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Iterator

    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.rows import Rows


LackKind: TypeAlias = Literal["code", "tag", "executor"]


class Elsewhere(Protocol):
    """The executors elsewhere that a process knows."""

    def is_run(self, graph: Graph, path: str) -> bool:
        """Whether one of them runs the node at a path of a graph, now or later."""
        ...

    def why_not_run(self, graph: Graph, path: str) -> str:
        """Why none of them does, in words."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """What a process lacks for the attempt at a path.

    Attributes:
        path: Of the node.
        what: In words, behind "lacks".
        because: Why, where the process has another definition of the workflow, or
            executors elsewhere that do not run it; may be empty.
        kind: Code, a tag, or an executor elsewhere, where none but one may run it.
    """

    path: str
    what: str
    because: str = ""
    kind: LackKind = "code"

    @property
    def is_stranding(self) -> bool:
        """Whether who waits for it is stranded; who waits for a tag is not."""
        return self.kind != "tag"

    def __str__(self) -> str:
        because = f": {self.because}" if self.because else ""
        return f"lacks {self.what} for {self.path!r}{because}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The code of a process.

    Attributes:
        digests: Of the graphs whose code it has.
        today: Its definition of a name and version, by which attempts run of other
            graphs of these; None if there is none.
        tags: It runs tasks whose tags are all among these; None: of any tags.
        elsewhere: The executors elsewhere that it knows; None: none is asked.
    """

    digests: Container[str]
    today: Callable[[str, str | None], Graph | None]
    tags: frozenset[str] | None = None
    elsewhere: Elsewhere | None = None

    def find_lack(self, rows: Rows, graph: Graph, paths: Iterable[str]) -> Lack | None:
        """What it lacks for the first attempt that it must not run; None: nothing.

        `graph` is that of the run with those rows.
        """
        is_here = graph.digest in self.digests
        for path in paths:
            lack = self._find_missing_executor(graph, path)
            if lack is None and not is_here:
                lack = self._find_lack_today(rows, graph, path)
            lack = lack or self._find_missing_tag(graph, path)
            if lack is not None and not self._goes_elsewhere(graph, path):
                return lack
        return None

    def _goes_elsewhere(self, graph: Graph, path: str) -> bool:
        return self.elsewhere is not None and self.elsewhere.is_run(graph, path)

    def _find_missing_executor(self, graph: Graph, path: str) -> Lack | None:
        """What none but an executor elsewhere may run, where these are known."""
        place = graph.place(path)
        if self.elsewhere is None or place is None or not is_remote(place.node):
            return None
        assert isinstance(place.node, TaskNode)
        return Lack(
            path=path,
            what=f"an executor with the code of {graph.title}"
            + text_of_tags(place.node.tags),
            because=self.elsewhere.why_not_run(graph, path),
            kind="executor",
        )

    def _find_lack_today(self, rows: Rows, graph: Graph, path: str) -> Lack | None:
        what = f"the code of {graph.title}"
        today = self.today(graph.name, graph.version)
        if today is None:
            return Lack(path=path, what=what)
        there = same_place(graph, path, today)
        if there is None:
            expected = kind_of(graph.place(path))
            seen = kind_of(graph.place(path) and today.place(path))
            because = f"expected {expected} there in its definition, but {seen}"
            return Lack(path=path, what=what, because=because)
        needs = there.node.needs if isinstance(there.node, TaskNode) else ()
        for need in needs:
            if not has_needed(rows, graph, path, need):
                because = f"its function needs {need.name!r}, which this run has not"
                return Lack(path=path, what=what, because=because)
        return None

    def _find_missing_tag(self, graph: Graph, path: str) -> Lack | None:
        place = None if self.tags is None else graph.place(path)
        if self.tags is None or place is None or not isinstance(place.node, TaskNode):
            return None
        missing = sorted({*place.node.tags} - self.tags)
        if not missing:
            return None
        return Lack(path=path, what=f"the tag {missing[0]!r}", kind="tag")

    def is_complete(self, graph: Graph) -> bool:
        """Whether it has the code of every node, so that every run can end."""
        if graph.digest in self.digests:
            return True
        today = self.today(graph.name, graph.version)
        return today is not None and all(
            _is_same(graph, path, today) for path in graph.places
        )


def _is_same(graph: Graph, path: str, today: Graph) -> bool:
    """Whether today's code runs a node in every run, as far as the graphs tell."""
    place, there = graph.place(path), same_place(graph, path, today)
    if there is None or place is None:
        return False
    if not isinstance(place.node, TaskNode) or not isinstance(there.node, TaskNode):
        return True
    return {*there.node.needs} <= {*place.node.needs}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranding:
    """Says which instances are stranded in a process with that code.

    `by_digest` finds the graph of a run.
    """

    code: Code
    by_digest: Callable[[str], Graph | None]

    def find(self, rows: Rows, now_ms: int) -> Lack | None:
        """Why an instance is stranded; None: it is not."""
        run = get_run(rows)
        if run is None or run.graph_digest in self.code.digests:
            return None
        lacks = self.find_lacks(rows, now_ms)
        return next((lack for lack in lacks if lack.is_stranding), None)

    def may_lack(self, graph_digest: str) -> bool:
        """Whether anything may be missing for an attempt of a run of that graph."""
        return self.code.tags is not None or graph_digest not in self.code.digests

    def find_lacks(self, rows: Rows, now_ms: int) -> Iterator[Lack]:
        """What is missing for the attempts that are due."""
        header, run = get_header(rows), get_run(rows)
        if header is None or run is None or header.phase != "running":
            return
        graph = self.by_digest(run.graph_digest)
        if graph is None:
            return
        for _, cursor in get_cursors(rows):
            owed = owed_attempt(header, cursor, graph)
            if owed is None or owed.not_before > now_ms:
                continue
            lack = self.code.find_lack(rows, graph, (cursor.path,))
            if lack is not None:
                yield lack

    def is_foreign(self, rows: Rows) -> bool:
        """Whether the process has no code at all of the workflow of a run."""
        run = get_run(rows)
        if run is None or run.graph_digest in self.code.digests:
            return False
        return self.code.today(run.workflow, run.version) is None


def text_of_tags(tags: Collection[str]) -> str:
    """Such as ` and the tags 'eu', 'gpu'`; empty without tags."""
    if not tags:
        return ""
    word = "tag" if len(tags) == 1 else "tags"
    return f" and the {word} {', '.join(map(repr, sorted(tags)))}"


def workflow_title(rows: Rows) -> str:
    """The name and version of an instance's workflow, for people."""
    run = get_run(rows)
    return "" if run is None else title_of(run.workflow, run.version)
