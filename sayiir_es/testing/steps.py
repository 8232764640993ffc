"""The steps of a scenario: commands, and time that passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


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


Step: TypeAlias = CommandStep | TimeStep | ToTheEndStep
