"""The CPU time of process trees, from `/proc` alone: it runs in every peer's Python."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def trees_of(roots: Mapping[str, Iterable[int]]) -> dict[str, list[int]]:
    """Each role's processes: the trees of its own, without those of another role."""
    children = _children()
    all_roots = {pid for pids in roots.values() for pid in pids}
    return {role: _tree(pids, all_roots, children) for role, pids in roots.items()}


def cpu_by_role(trees: Mapping[str, Iterable[int]]) -> dict[str, float]:
    """User and system time of each role's processes so far, in seconds.

    Children that ended and were waited for stay counted, in their parent.
    """
    return {role: sum(map(_cpu_seconds, pids)) for role, pids in trees.items()}


def tree_of(root: int) -> list[int]:
    """A process and all that it started, parents first."""
    return _tree((root,), {root}, _children())


def _tree(
    pids: Iterable[int], stops: set[int], children: Mapping[int, list[int]]
) -> list[int]:
    found = list(pids)
    for pid in found:
        found += [child for child in children.get(pid, ()) if child not in stops]
    return found


def _children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    return children


def _cpu_seconds(pid: int) -> float:
    return sum(map(int, _stat(pid)[11:15])) / TICKS_PER_S


def _stat(pid: int) -> list[str]:
    """The fields behind a process's name; none if it has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
