"""The errors that `on_error` names: classes, and the engine's own words, as texts.

A class is named by its module and its name, so that a definition is data. One of the
program that was started has the module's name by which others import it: the same file
gives the same definition, started or imported.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TypeAlias, cast

from sayiir_es.core.graph.catching import ENGINE_ERRORS

CaughtError: TypeAlias = type[BaseException] | str
"""An exception class, or a word such as `"timeout"`."""

CaughtErrors: TypeAlias = CaughtError | tuple[CaughtError, ...]

_MAIN = ("__main__", "__mp_main__")
"""The module of the program that was started, also where a process imports it again."""

BASES_MAX = 16
"""Names of classes that are kept of one error, the nearest first."""

NAME_CHARACTERS_MAX = 256
"""Characters of such a name; of a longer one the end is left out, here and there."""


def caught_names(given: CaughtErrors) -> tuple[str, ...]:
    """The names of the errors to catch; none means all.

    Raises:
        TypeError: if one is neither an exception class nor a text.
        ValueError: if a text is none of the engine's words.
    """
    errors = given if isinstance(given, tuple) else (given,)
    if BaseException in errors:
        return ()
    names: dict[str, None] = {}
    for error in cast("tuple[object, ...]", errors):
        if isinstance(error, str):
            if error not in ENGINE_ERRORS:
                raise ValueError(
                    f"expected an exception class, or one of {', '.join(ENGINE_ERRORS)}"
                    f", but {error!r}"
                )
            names[error] = None
        elif isinstance(error, type) and issubclass(error, BaseException):
            names[class_name(error)] = None
        else:
            raise TypeError(f"expected exception classes for errors, but {error!r}")
    return tuple(names)


def class_names(error: type[BaseException]) -> tuple[str, ...]:
    """The names of an error's class and of those that it inherits from."""
    bases = [base for base in error.__mro__ if base not in (BaseException, object)]
    if len(bases) > BASES_MAX:  # the last one is what all have in common
        bases[BASES_MAX - 1 :] = bases[-1:]
    return tuple(map(class_name, bases))


def class_name(kind: type) -> str:
    """A class by its module and its name."""
    module = kind.__module__
    if module in _MAIN:
        module = _imported_main()
    return f"{module}.{kind.__qualname__}"[:NAME_CHARACTERS_MAX]


def _imported_main() -> str:
    """The name by which others import the program that was started."""
    main = sys.modules.get("__main__")
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:
        return str(spec.name)
    return "__main__" if file is None else Path(file).stem
