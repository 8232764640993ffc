"""The faults of a simulated world: every one is drawn here, and has a name.

Theory of operation. A fault is drawn from (seed, kind, entity, counter), so that others
stay the same when one is left out; a failing run is shrunk by leaving faults out. So a
kind is never renamed: a seed would mean other faults. Faults that fired are counted by
kind and by what the engine was doing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field

INTENSITIES = (0.0, 0.3, 1.0, 3.0)


@dataclass
class Chance:
    """Draws for one seed."""

    seed: int
    only: frozenset[str] | None = None
    """The names of the faults that may fire; None means all."""
    quiet: bool = False
    """If set, no fault fires."""
    fired: list[str] = field(default_factory=list[str])
    fault_counts: Counter[str] = field(default_factory=Counter[str])
    _draws: Counter[str] = field(default_factory=Counter[str])

    def __post_init__(self) -> None:
        self.intensity = INTENSITIES[int(self.number("intensity") * len(INTENSITIES))]

    def number(self, entity: str) -> float:
        """A number of [0, 1) for the entity's next draw."""
        return self._number(entity, self._next(entity))

    def between(self, entity: str, least: float, most: float) -> float:
        """A number of [least, most) for the entity's next draw."""
        return least + (most - least) * self.number(entity)

    def fault(self, kind: str, entity: str, share: float, *, state: str = "") -> bool:
        """Whether the fault fires now: with probability `share` at intensity 1."""
        key = f"{kind}:{entity}"
        count = self._next(key)
        name = f"{key}:{count}"
        if self.quiet or self._number(key, count) >= share * self.intensity:
            return False
        if self.only is not None and name not in self.only:
            return False
        self.fired.append(name)
        self.fault_counts[f"{kind} while {state}" if state else kind] += 1
        return True

    def _next(self, entity: str) -> int:
        self._draws[entity] += 1
        return self._draws[entity]

    def _number(self, entity: str, count: int) -> float:
        digest = hashlib.blake2b(
            f"{self.seed}/{entity}/{count}".encode(), digest_size=7
        ).digest()
        return int.from_bytes(digest, "big") / (1 << 56)
