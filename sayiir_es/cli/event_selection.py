"""Which events a command reads, and where it begins."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Events as options select them.

    Attributes:
        instance_id: Only those of this instance; None for every instance.
        kinds: Only those of these kinds; empty for every kind.
        since_ms: Only those from this time on; 0 for the earliest.
        from_now: Only those behind the present end of each partition.
        place: Partition and offset to begin at; None for the start of each partition.
    """

    instance_id: str | None
    kinds: frozenset[str]
    since_ms: int
    place: tuple[int, int] | None
    from_now: bool = False
