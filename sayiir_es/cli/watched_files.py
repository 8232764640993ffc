"""The files behind modules, and whether one of them changed.

They are found by their names and not by an import, which would run them. Of a package
all Python files are watched, of a plain module those beside it too, which it may
import. Files are looked at by their times and sizes: a thousand of them cost some
milliseconds a look.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Seen: TypeAlias = "dict[str, tuple[int, int, int]]"
"""Path → time of the last change in nanoseconds, size, and which file it is."""

_NOT_ENTERED = frozenset(("__pycache__", "node_modules", "site-packages"))


class WatchedFiles:
    """The files of some modules and of their packages."""

    def __init__(self, modules: Sequence[str]) -> None:
        path = [os.getcwd(), *sys.path]  # noqa: PTH109 (sys.path holds text)
        self._folders: set[str] = set()
        """Watched with all that is below them."""
        self._shallow: set[str] = set()
        """Watched without what is below them."""
        for name in {module.partition(".")[0] for module in modules}:
            spec = PathFinder.find_spec(name, path) if name else None
            if spec is None:
                # It may come: a file of that name where it is looked for first.
                self._shallow.add(path[0])
            elif spec.submodule_search_locations is not None:
                self._folders.update(spec.submodule_search_locations)
            elif spec.origin is not None:
                self._shallow.add(str(Path(spec.origin).parent))

    def look(self) -> Seen:
        """What the files are now."""
        seen: Seen = {}
        for folder in self._folders:
            seen.update(_files_in(folder, is_deep=True))
        for folder in self._shallow:
            seen.update(_files_in(folder, is_deep=False))
        return seen


def changed_names(before: Seen, after: Seen) -> list[str]:
    """The names of the files that came, went or changed."""
    paths = before.keys() | after.keys()
    changed = (path for path in paths if before.get(path) != after.get(path))
    return sorted({Path(path).name for path in changed})


def _files_in(
    folder: str, *, is_deep: bool
) -> Iterator[tuple[str, tuple[int, int, int]]]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):  # it went meanwhile
                if entry.name.endswith(".py") and entry.is_file():
                    stat = entry.stat()
                    yield entry.path, (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                elif is_deep and _is_entered(entry):
                    yield from _files_in(entry.path, is_deep=True)


def _is_entered(entry: os.DirEntry[str]) -> bool:
    name = entry.name
    is_left_out = name.startswith(".") or name in _NOT_ENTERED
    return not is_left_out and entry.is_dir(follow_symlinks=False)
