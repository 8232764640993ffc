"""The settings of the environment, where it sets any of those that are asked for.

A variable that names no setting is a slip, and without a word the setting that was
meant has its default. So a program says once which variables it does not know.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.settings import Settings

_PREFIX: Final = "SAYIIR_"

_OF_OTHERS: Final = re.compile(
    r"SAYIIR_(ES_TEST|TEST|FUZZ|DEMO)_.*"  # of this project's tests and its demo
    # Kubernetes sets these for each service of a name that begins so.
    r"|SAYIIR_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_\d+_(TCP|UDP|SCTP)(_.+)?)?)"
)

_PLAIN: Final = frozenset({"SAYIIR_BACKEND", "SAYIIR_STATE_DIR", "SAYIIR_LOG_FORMAT"})
"""Known without a look at the class of the settings, which is slow to import."""


class _Told:
    is_told = False


def tell_unknown(tell: Callable[[str], object]) -> None:
    """Tell, once in a process, of each variable `SAYIIR_…` that names no setting."""
    if _Told.is_told:
        return
    _Told.is_told = True
    for text in unknown_variables():
        tell(text)


def unknown_variables() -> list[str]:
    """A sentence for each variable `SAYIIR_…` that names no setting."""
    names = [
        name
        for name, value in os.environ.items()
        if value
        and name.upper().startswith(_PREFIX)
        and name.upper() not in _PLAIN
        and _OF_OTHERS.fullmatch(name.upper()) is None
    ]
    if not names:
        return []
    from difflib import get_close_matches  # noqa: PLC0415 (as below)

    from sayiir_es.settings import Settings  # noqa: PLC0415 (slow to import)

    known = [name.upper() for name in Settings.model_fields]
    texts: list[str] = []
    for name in sorted(names):
        own = name.upper().removeprefix(_PREFIX)
        if own not in known:
            close = get_close_matches(own, known, n=1)
            meant = f"; is {_PREFIX}{close[0]} meant?" if close else ""
            texts.append(
                f"expected variables that begin with {_PREFIX} to name settings, but "
                f"{name} names none, and is ignored{meant}"
            )
    return texts


def _own_names() -> list[str]:
    """The names `SAYIIR_…` that are set, in capitals; looks at no other's value."""
    names = [(name, name.upper()) for name in os.environ]
    return [
        own for name, own in names if own.startswith(_PREFIX) and os.environ.get(name)
    ]


def settings_where_set(*variables: str) -> Settings | None:
    """All settings, or None where the environment has none of these variables.

    All begin with `SAYIIR_`; one that ends in `_` stands for all that begin so. Nearly
    always it is None, and the class of the settings takes a tenth of a second and 15
    MiB to import.

    Raises:
        SettingsError: if some values cannot be used; it names every one of them.
    """
    exact = frozenset(variables)
    prefixes = tuple(name for name in variables if name.endswith("_"))
    if not any(name in exact or name.startswith(prefixes) for name in _own_names()):
        return None
    from sayiir_es.settings import load_settings  # noqa: PLC0415 (slow to import)

    return load_settings()
