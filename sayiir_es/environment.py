"""The settings of the environment, where it sets any of those that are asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sayiir_es.settings import Settings


def settings_where_set(*variables: str) -> Settings | None:
    """All settings, or None where the environment has none of these variables.

    A variable that ends in `_` stands for all that begin so. Nearly always it is None,
    and the class of the settings takes a tenth of a second and 15 MiB to import.

    Raises:
        SettingsError: if some values cannot be used; it names every one of them.
    """
    exact = frozenset(variables)
    prefixes = tuple(name for name in variables if name.endswith("_"))
    names = [name.upper() for name, value in os.environ.items() if value]
    if not any(name in exact or name.startswith(prefixes) for name in names):
        return None
    from sayiir_es.settings import load_settings  # noqa: PLC0415 (slow to import)

    return load_settings()
