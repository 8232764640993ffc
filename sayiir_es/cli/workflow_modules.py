"""Importing the modules with workflows that a command line names."""

from __future__ import annotations

from sayiir_es.core.authoring.unique import check_unique
from sayiir_es.core.authoring.workflow import Workflow
from sayiir_es.core.model.errors import UsageError
from sayiir_es.operations.named_functions import import_module


def load_workflows(modules: list[str]) -> list[Workflow]:
    """Every workflow at the top level of the modules, each once.

    Raises:
        UsageError: if a module cannot be found, or has no workflow, or if two different
            ones have the same name and version.
    """
    workflows: dict[int, tuple[str, Workflow]] = {}
    for name in modules:
        module = import_module(name)
        found: list[tuple[str, Workflow]] = [
            (f"{name}.{variable}", one)
            for variable, one in vars(module).items()
            if isinstance(one, Workflow)
        ]
        if not found:
            raise UsageError(
                f"expected a Workflow at the top level of {name!r}, but there is none"
            )
        for place, workflow in found:
            workflows.setdefault(id(workflow), (place, workflow))
    try:
        check_unique(workflows.values())
    except ValueError as error:
        raise UsageError(str(error)) from error
    return [workflow for _, workflow in workflows.values()]
