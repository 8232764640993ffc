"""Where another process can import a function from: by name, as pickle has it.

Theory of operation. Nothing of a function goes through a pipe but a name. A function at
the top level of a module is named by that; one that is not, such as a lambda, by the
variable of a module that holds its workflow, and by its path in there. Each name is
tried here before it is given away: it must lead to the very same function.

What stands in the program's own file is in the module `__main__`. Of `python -m` that
is a module as any other; else another process imports the file under another name, as
`multiprocessing` does.
"""

from __future__ import annotations

import importlib
import multiprocessing.spawn as spawning
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from sayiir_es.core.authoring.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sayiir_es.engine.attempts.processes.messages import Address

MAIN, MAIN_PATH = "__main__", "init_main_from_path"


def address_of(value: object) -> Address | None:
    """Where a function or a class is imported from; None if it is not at top level."""
    module: object = getattr(value, "__module__", None)
    name: object = getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return None
    if _walk(sys.modules.get(module), name) is not value:
        return None
    return _address(module, name)


def addresses_of(workflow: Workflow) -> dict[str, Address]:
    """Where the functions of a workflow are imported from, by path, where they can."""
    functions = {path: unbound(one) for path, one in workflow.functions.items()}
    found: dict[str, Address] = {}
    missing: dict[str, Callable[..., object]] = {}
    for path, function in functions.items():
        address = address_of(function)
        if address is None:
            missing[path] = function
        else:
            found[path] = address
    if missing:
        for (module, name, _), other in _workflows_like(workflow):
            for path, function in missing.items():
                held = other.functions.get(path)
                if held is not None and unbound(held) is function:
                    found.setdefault(path, (module, name, path))
    return found


def object_address(value: object) -> Address | None:
    """Where an object is imported from: a variable of any module.

    Of one that has no attributes of its own, the class will do.
    """
    if not getattr(value, "__dict__", None):
        return address_of(type(value))
    for module, holder in tuple(sys.modules.items()):
        for name, held in _variables(holder):
            if held is value and (address := _address(module, name)) is not None:
                return address
    return None


def load(address: Address) -> Any:
    """Import what an address names.

    Raises:
        ImportError: if there is nothing of that name.
    """
    module, name, path = address
    value = _walk(importlib.import_module(module), name)
    if path:
        functions: Mapping[str, object] = getattr(value, "functions", {})
        value = functions.get(path)
    if value is None:
        where = f"{name!r} of {module!r}" + (f", {path!r} in there" if path else "")
        raise ImportError(f"expected {where} here as in the worker, but it is missing")
    return value


def unbound(function: Callable[..., object]) -> Callable[..., object]:
    """A function without the resources that were bound to it."""
    is_bound = isinstance(cast("object", function), partial)
    inner: object = getattr(function, "__wrapped__", None)
    return inner if is_bound and callable(inner) else function


def main_data() -> dict[str, str]:
    """What `multiprocessing` needs to import this program's file again."""
    path: object = spawning.get_preparation_data("").get(MAIN_PATH)
    return {} if path is None else {MAIN_PATH: str(path)}


def _address(module: str, name: str) -> Address | None:
    """The address of a variable; None where nobody else can import its module."""
    if module == MAIN:
        spec = getattr(sys.modules[MAIN], "__spec__", None)
        if spec is not None:  # `python -m`: a module as any other
            return (spec.name, name, "")
        if not main_data():
            return None
    return (module, name, "")


def _walk(value: object, name: str) -> object:
    for part in name.split("."):
        value = getattr(value, part, None)
    return value


def _workflows_like(workflow: Workflow) -> Iterator[tuple[Address, Workflow]]:
    """The variables of modules that hold a workflow of the same graph."""
    digest = workflow.graph.digest
    for module, holder in tuple(sys.modules.items()):
        for name, held in _variables(holder):
            if (
                issubclass(type(held), Workflow)  # `isinstance` would ask a proxy
                and cast("Workflow", held).graph.digest == digest
                and (address := _address(module, name)) is not None
            ):
                yield address, cast("Workflow", held)


def _variables(module: object) -> list[tuple[str, object]]:
    return list(getattr(module, "__dict__", {}).items())
