"""The project's own files, parsed once, for tests that read code instead of running it.

What counts as a file of the project is what git tracks, and what it would track; a tree
without git (a source distribution) is walked.
"""

from __future__ import annotations

import ast
import gc
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One Python file."""

    name: str
    """Its path from the root: `sayiir_es/core/model/errors.py`."""
    text: str
    tree: ast.Module


@cache
def files() -> tuple[str, ...]:
    """Paths from the root of every file that is, or is about to be, in the project."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        paths = (p.relative_to(ROOT) for p in ROOT.rglob("*") if p.is_file())
        hidden = (".venv", "__pycache__", "_cache")
        return tuple(
            sorted(
                str(p)
                for p in paths
                if not any(part.endswith(hidden) for part in p.parts)
            )
        )
    command = [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(  # noqa: S603 - our own command
        command, cwd=ROOT, check=True, capture_output=True, text=True
    )
    return tuple(
        sorted(n for n in set(listed.stdout.split("\0")) if n and (ROOT / n).is_file())
    )


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """The Python files below these folders."""
    parsed: list[Module] = []
    for name in files():
        if name.endswith(".py") and name.startswith(folders):
            text = (ROOT / name).read_text(encoding="utf-8")
            parsed.append(Module(name=name, text=text, tree=_parsed(text, name)))
    return tuple(parsed)


def _parsed(text: str, name: str) -> ast.Module:
    # What the collector finalises may format a traceback, which parses too; Python 3.11
    # takes one parse within another for corruption and raises SystemError.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(text, name)
    finally:
        if was_enabled:
            gc.enable()


def functions(
    module: Module,
) -> tuple[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef], ...]:
    """Each function of a module with its dotted name: `Owner.run`."""
    functions_below: list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]] = []

    def look(node: ast.AST, within: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                look(child, f"{within}{child.name}.")
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                functions_below.append((f"{within}{child.name}", child))
                look(child, f"{within}{child.name}.")
            else:
                look(child, within)

    look(module.tree, "")
    return tuple(functions_below)


def own_nodes(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    """Everything within a function, but not within functions that stand in it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            waiting.extend(ast.iter_child_nodes(node))
