"""What happens to a workflow in a scenario, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A command, as JSON data without the instance."""

    command: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """Time passes, in milliseconds; timers fire in their order."""

    ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Time passes until the workflow has ended, or waits for what no time brings."""


Step: TypeAlias = Told | Passed | Finished
