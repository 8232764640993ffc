"""The settings of one that takes attempts of owners elsewhere."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TakerSettings:
    """Of one that takes attempts.

    Attributes:
        executor_id: What owners and events call it; no other process has it.
        slots: Attempts that run at a time.
        prefetch: Attempts that may wait beside them.
        drain_s: How long its end waits for attempts that run, in seconds.
        only_foreign: It takes what the owner's process cannot run, and with slots that
            are idle what that process has had no slot for.
    """

    executor_id: str
    slots: int
    prefetch: int
    drain_s: float
    only_foreign: bool = False
