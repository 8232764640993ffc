"""What one check of an examination found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mark(StrEnum):
    """How good a finding is, as a table shows it."""

    GOOD = "✓"
    WARNING = "!"
    BAD = "✗"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check, and what to do about it."""

    check: str
    mark: Mark
    finding: str
    fix: str = ""
