"""How much memory a process has, with all that it began: what a limit is held against.

It is what lies in memory now, as a container's limit counts it. Linux tells it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

CAN_BE_MEASURED = sys.platform == "linux"

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PROCESSES_MAX = 1_000
"""Of one attempt; of more, that many are looked at."""


def memory_of(pid: int) -> int:
    """Bytes of a process and its descendants; 0 where it has ended."""
    pids = _family(pid)
    size = sum(map(_resident, pids))
    return size if len(pids) == 1 else min(size, sum(map(_share, pids)))


def _family(pid: int) -> list[int]:
    """The process, and those that it and they began."""
    pids = [pid]
    for one in pids:
        try:
            threads = list(Path(f"/proc/{one}/task").iterdir())
            texts = [(thread / "children").read_text() for thread in threads]
        except OSError:
            continue  # it has ended meanwhile
        pids += [int(word) for text in texts for word in text.split()]
        if len(pids) >= _PROCESSES_MAX:
            break
    return pids


def _resident(pid: int) -> int:
    try:
        words = Path(f"/proc/{pid}/statm").read_bytes().split()
    except OSError:
        return 0
    return int(words[1]) * _PAGE_BYTES


def _share(pid: int) -> int:
    """The same, with what several processes have in common counted once."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return _resident(pid)
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return _resident(pid)
