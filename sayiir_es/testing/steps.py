"""The steps of a scenario: commands, time that passes, crashes, and where to stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandStep:
    """A command is sent; it is JSON data without the instance."""

    command: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeStep:
    """Time passes, in milliseconds; timers fire in their order."""

    ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ToTheEndStep:
    """Time passes until the workflow has ended, or waits for a signal or command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashStep:
    """The owner dies with all that it ran, and another one goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopStep:
    """The step before goes no farther than to an attempt of a task.

    Attributes:
        task_id: The id of the task; of a key function that of its route.
        attempt: Which one, from 1 on; None: any.
        state: `running`: where its function is called. `backoff`: where it has failed,
            and the next one is to come.
    """

    task_id: str
    attempt: int | None
    state: Literal["running", "backoff"]

    def __str__(self) -> str:
        which = "an attempt" if self.attempt is None else f"attempt {self.attempt}"
        if self.state == "running":
            return f"{which} of {self.task_id!r} to run"
        return f"{which} of {self.task_id!r} to fail and wait for the next"


Step: TypeAlias = CommandStep | TimeStep | ToTheEndStep | CrashStep | StopStep
