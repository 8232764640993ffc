"""Importing what options and settings name: modules, and functions of them."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from sayiir_es.core.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


def load_function(option: str, text: str | None) -> Callable[..., Any] | None:
    """The function that an option names as MODULE:NAME; None where it names none.

    Raises:
        UsageError: if there is none.
    """
    if text is None:
        return None
    name, colon, attribute = text.partition(":")
    if not colon or not attribute:
        raise UsageError(f"{option}: expected MODULE:NAME, but {text!r}")
    value: object = import_module(name)
    for part in attribute.split("."):
        value = getattr(value, part, None)
    if not callable(value):
        raise UsageError(
            f"{option}: expected a function {attribute!r} in {name!r}, but {value!r}"
        )
    return value


def import_module(name: str) -> ModuleType:
    """Import a module, from the current directory too.

    Raises:
        UsageError: if it cannot be found.
    """
    if os.getcwd() not in sys.path:  # noqa: PTH109 (sys.path holds text)
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        return importlib.import_module(name)
    except (ModuleNotFoundError, TypeError, ValueError) as error:
        missing = getattr(error, "name", None)
        if missing and not (name == missing or name.startswith(f"{missing}.")):
            raise  # the module is there; what it needs is not
        raise UsageError(f"expected a module {name!r}, but {error}") from error
