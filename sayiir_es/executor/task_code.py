"""The code that an executor has: what it offers to run, and the function of an attempt.

An executor reads no definitions: an attempt of a graph that it did not register runs
the task of the same workflow and id, if that takes nothing by name that did not come
along.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sayiir_es.engine.definitions.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.graph.nodes import TaskNode
    from sayiir_es.engine.definitions.registry import Runnable
    from sayiir_es.wire.attempts import PublishedAttempt


class TaskCode:
    """The tasks of some workflows, as far as their tags are among those given.

    Attributes:
        graphs: Digests of the graphs of which every task can be run.
        tasks: `workflow/task_id` of each task that can be run.
        tags: Those given, else those of the tasks.
        are_all_in_processes: Whether each of the tasks runs in a process.
    """

    def __init__(
        self,
        workflows: Iterable[Workflow],
        tags: Collection[str] | None,
        *,
        of_worker: bool = False,
    ) -> None:
        """Take the code of these; `of_worker`: but for what no worker runs."""
        self._registry = Registry(tags=None if tags is None else frozenset(tags))
        self._places: dict[str, tuple[str, str]] = {}
        """By `workflow/task_id`: a graph and the path of the task there."""
        whole: list[str] = []
        in_process: list[bool] = []
        named = set[str](tags or ())
        for workflow in workflows:
            self._registry.register(workflow)
            digest = workflow.graph.digest
            found = [
                self._registry.runnable(digest, path) for path in workflow.functions
            ]
            if of_worker:
                found = [None if _is_remote(one) else one for one in found]
            for path, runnable in zip(workflow.functions, found, strict=True):
                if runnable is None:
                    continue
                name = f"{workflow.graph.name}/{runnable.node.id}"
                self._places[name] = (digest, path)
                in_process.append(runnable.in_process)
                if tags is None:
                    named.update(runnable.node.tags)
            if None not in found:
                whole.append(digest)
        self.graphs = tuple(sorted(whole))
        self.tasks = tuple(sorted(self._places))
        self.tags = tuple(sorted(named))
        self.are_all_in_processes = bool(in_process) and all(in_process)

    def find(self, record: PublishedAttempt) -> Runnable | None:
        """How to run an attempt; None where its code, or a tag, is not here."""
        for runnable in self._candidates(record):
            if _fits(runnable, record):
                if runnable.ends_loop == record.ends_loop:
                    return runnable
                return replace(runnable, ends_loop=record.ends_loop)
        return None

    def _candidates(self, record: PublishedAttempt) -> Iterator[Runnable]:
        own = self._registry.runnable(record.graph_digest, record.path)
        if own is not None:
            yield own
            return
        place = self._places.get(f"{record.workflow}/{record.task_id}")
        other = None if place is None else self._registry.runnable(*place)
        if other is not None:
            yield replace(other, takers=())  # of the run's graph nobody knows here


def _fits(runnable: Runnable, record: PublishedAttempt) -> bool:
    node: TaskNode = runnable.node
    return (
        node.id == record.task_id
        and runnable.is_key == record.is_key
        and all(need.name in record.named for need in node.needs)
    )


def _is_remote(runnable: Runnable | None) -> bool:
    return runnable is not None and runnable.node.execute == "remote"
