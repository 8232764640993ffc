"""The executor port: attempts with their slots, and what comes back from them.

Theory of operation. An executor has a bounded number of *slots*, shared by all
partitions of its process. The owner asks for a slot (`reserve`, or `enqueue` when none
is free); an attempt with a time-out records its deadline first, then `start` runs the
function. Whatever happens comes back as one `Outcome` through the job's `deliver`, on
the event loop. Inputs are decoded and results encoded in here, inside the attempt, so
that the owner handles bytes only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from sayiir_es.core.model.rows import chain_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sayiir_es.core.graph.nodes import TaskNode
    from sayiir_es.core.model.inputs import Outcome


Token: TypeAlias = tuple[str, int, str, int]
"""(instance id, run, path, attempt)."""


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """One attempt to run: its token, its input, its function, and where to report.

    Nobody changes it. It is not frozen, because one is made for each attempt, and that
    would take three times as long.

    `granted` is called once when a queued job gets its slot; `deliver` once with the
    outcome (also after `withdraw`). Both on the event loop. `remaining_ms` is what is
    left of its deadline, None without time-out. `priority` runs from 1 (first) to 5.
    `queued_at_ms` is when it became due, for aging. `ends_loop` says that its result is
    a `LoopResult`.
    """

    instance_id: str
    run: int
    path: str
    attempt: int
    node: TaskNode
    function: Callable[..., object]
    input: bytes
    workflow: str
    workflow_metadata: str | None
    ends_loop: bool
    worker: str
    deadline_at_ms: int | None
    priority: int
    queued_at_ms: int
    granted: Callable[[Job], None]
    deliver: Callable[[Job, Outcome], None]
    token: Token = field(init=False)
    chain: str = field(init=False)

    def __post_init__(self) -> None:
        self.token = (self.instance_id, self.run, self.path, self.attempt)
        self.chain = chain_of(self.path)


class Executor(Protocol):
    """Runs attempts; holds no state of any workflow."""

    def reserve(self) -> bool:
        """Take a slot for a job at once, if one is free and nothing queues."""
        ...

    def release(self) -> None:
        """Give back a reserved slot whose job will not start."""
        ...

    def enqueue(self, job: Job) -> None:
        """Queue for a slot; `job.granted` follows, the slot then being reserved."""
        ...

    def start(self, job: Job) -> None:
        """Run a job in the slot that was reserved for it."""
        ...

    def withdraw(self, job: Job) -> bool:
        """Take a queued job back; True if it had no slot yet and now never gets one."""
        ...

    def request_cancel(self, job: Job, grace_s: float) -> None:
        """Tell a running job: its context says cancelled; async ones end after grace.

        A job that ends by it delivers the outcome *withdrawn*.
        """
        ...

    def abandon(self, job: Job, *, deliver: bool) -> None:
        """Stop caring: async ones are cancelled, a sync one's thread is replaced.

        With `deliver` a sync one's late outcome still comes; else nothing comes.
        """
        ...

    def running(self) -> Mapping[Token, Job]:
        """The jobs that hold a slot now, by token."""
        ...

    async def close(self) -> None:
        """Cancel what runs and end the threads that are idle; waits for nobody."""
        ...
