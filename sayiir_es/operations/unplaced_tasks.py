"""Tasks whose attempts are due, and which nobody that is there may run.

None but an executor elsewhere may, and none that is known has its code and its tags; or
the worker that owns the partition lacks a tag, and no executor has it either. Each says
what is to be started.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from sayiir_es.client.search import count_by_group, newest_instances
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.graph.paths import node_name
from sayiir_es.core.status.search import Search

if TYPE_CHECKING:
    from sayiir_es.client.session import Session
    from sayiir_es.core.status.status import Status

UnplacedKind: TypeAlias = Literal["executor", "tag"]

TASKS_MAX = 30
"""How many tasks are told of, those with the most attempts first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnplacedTask:
    """A task of one workflow of which attempts wait for somebody who may run them.

    Attributes:
        workflow: Its name.
        task: The name of the node.
        kind: What lacks: an executor, or a tag.
        tags: Those of the task, in all graphs of that name.
        count: How many instances wait so.
        example: One of them, the last started; None if it has gone meanwhile.
    """

    workflow: str
    task: str
    kind: UnplacedKind
    tags: tuple[str, ...]
    count: int
    example: Status | None = None

    @property
    def summary(self) -> str:
        """What is wrong, in words."""
        who = "an executor" if self.kind == "executor" else "a worker or an executor"
        tags = ", ".join(map(repr, self.tags))
        if tags:
            who += f" with the tag{'s' if len(self.tags) > 1 else ''} {tags}"
        return (
            f"instances of {self.workflow!r} that wait for {who} to run "
            f"{self.task!r}: {self.count}"
        )

    @property
    def cause(self) -> str:
        """The same, with what one of them says."""
        if self.example is None:
            return self.summary
        example = f"{self.example.instance_id!r}: {self.example.waiting_for}"
        return f"{self.summary}, such as {example}"

    @property
    def fix(self) -> str:
        """What is to be started."""
        tags = f" --tags {','.join(self.tags)}" if self.tags else ""
        line = f"`sayiir-es executor run MODULE{tags}`"
        if self.kind == "tag":
            line += f" or `sayiir-es worker run MODULE{tags}`"
        return f"{line}, where MODULE has the code of {self.workflow!r}"


async def find_unplaced(session: Session) -> tuple[UnplacedTask, ...]:
    """All of them, as the owners of the partitions say."""
    found: list[tuple[UnplacedTask, Search]] = []
    for kind in get_args(UnplacedKind):
        search = Search(statuses=("in_progress",), waiting_for=kind)
        by_workflow = await count_by_group(session, search, "workflow")
        for workflow in by_workflow:
            of_workflow = replace(search, workflow=workflow)
            waited = await count_by_group(session, of_workflow, "waiting_for")
            for waiting_for, count in waited.items():
                what, _, task = waiting_for.partition(":")
                if what == kind:
                    one = UnplacedTask(
                        workflow=workflow,
                        task=task,
                        kind=kind,
                        tags=tags_of_task(session, workflow, task),
                        count=count,
                    )
                    found.append((one, replace(of_workflow, waiting_for=waiting_for)))
    found.sort(key=lambda item: (-item[0].count, item[0].workflow, item[0].task))
    told: list[UnplacedTask] = []
    for one, search in found[:TASKS_MAX]:
        newest = await newest_instances(session, search, 1)
        told.append(replace(one, example=newest[0][1]) if newest else one)
    return tuple(told)


def tags_of_task(session: Session, workflow: str, task: str) -> tuple[str, ...]:
    """The tags of a task in the graphs of a name that were read."""
    tags = {
        tag
        for graph in session.registry.graphs()
        if graph.name == workflow
        for path, place in graph.places.items()
        if node_name(path) == task and isinstance(place.node, TaskNode)
        for tag in place.node.tags
    }
    return tuple(sorted(tags))
