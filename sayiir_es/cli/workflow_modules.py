"""Importing the modules that a command line names, for the workflows in them."""

from __future__ import annotations

import importlib
import os
import sys

from sayiir_es.core.authoring.workflow import Workflow
from sayiir_es.core.model.errors import UsageError


def load_workflows(modules: list[str]) -> list[Workflow]:
    """Every workflow at the top level of the modules, each once.

    Raises:
        UsageError: if a module cannot be found, or has no workflow.
    """
    if os.getcwd() not in sys.path:  # noqa: PTH109 (sys.path holds text)
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    workflows: dict[int, Workflow] = {}
    for name in modules:
        try:
            module = importlib.import_module(name)
        except (ModuleNotFoundError, TypeError, ValueError) as error:
            missing = getattr(error, "name", None)
            if missing and not (name == missing or name.startswith(f"{missing}.")):
                raise  # the module is there; what it needs is not
            raise UsageError(f"expected a module {name!r}, but {error}") from error
        values = [one for one in vars(module).values() if isinstance(one, Workflow)]
        if not values:
            raise UsageError(
                f"expected a Workflow at the top level of {name!r}, but there is none"
            )
        workflows.update((id(workflow), workflow) for workflow in values)
    return list(workflows.values())
