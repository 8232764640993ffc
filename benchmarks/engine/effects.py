"""W4's traces: a line in a file for each run of each step; the standard library alone.

A line tells which step of which workflow ran: one that is missing at the end was lost,
one that stands twice was repeated.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

EFFECTS_FILE = "PEER_EFFECTS"
"""The environment variable that names the file."""

EFFECT_S = 0.5
"""A step takes so long after its trace, in seconds: all have begun before the kill."""

EFFECT_STEPS = 5


def append_effect(path: str, key: str, step: int) -> None:
    """Append a line in one write, so that a kill leaves all of it or nothing."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{key} {step}\n".encode())
    finally:
        os.close(file)


def effects_in(path: str) -> Counter[tuple[str, int]]:
    """How often each step of each workflow has run so far."""
    try:
        lines = Path(path).read_text().splitlines()
    except FileNotFoundError:
        return Counter()
    pairs = (line.split() for line in lines)
    return Counter((key, int(step)) for key, step in pairs)
