"""The reference of Python: a line of mkdocstrings for each name that is exported."""

from __future__ import annotations

import inspect
from importlib import import_module


def python_reference(argument: str) -> str:
    """All that a module exports: functions, classes, errors; by name."""
    module = import_module(argument)
    kinds: dict[str, list[str]] = {"Functions": [], "Classes": [], "Errors": []}
    for name in sorted(module.__all__, key=str.lower):
        value = getattr(module, name)
        if inspect.isclass(value) and issubclass(value, Exception):
            kinds["Errors"].append(name)
        elif inspect.isclass(value):
            kinds["Classes"].append(name)
        else:
            kinds["Functions"].append(name)
    return "\n\n".join(
        part
        for kind, names in kinds.items()
        if names
        for part in (f"## {kind}", *(f"::: {argument}.{name}" for name in names))
    )
