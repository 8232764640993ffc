"""Files that people handed in, while they look at them: in memory, and bounded.

They are of the process that took them. Where several serve, another one does not know
them, and says so: the file is handed in again.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import NotFoundError

if TYPE_CHECKING:
    from sayiir_es.operations.imported_files import Imported

IMPORTS_MAX = 10
EVENTS_MAX = 500_000
"""Of all together; the one that was looked at longest ago goes first."""


class Imports:
    """What was handed in, each under a name that cannot be guessed."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Imported] = OrderedDict()

    def add(self, imported: Imported) -> str:
        """Keep the content of files; the name under which it is."""
        name = secrets.token_urlsafe(12)
        self._kept[name] = imported
        while len(self._kept) > 1 and (
            len(self._kept) > IMPORTS_MAX or self._events() > EVENTS_MAX
        ):
            self._kept.popitem(last=False)
        return name

    def get(self, name: str) -> Imported:
        """What was handed in under a name.

        Raises:
            NotFoundError: if it is not here any more, or never was.
        """
        imported = self._kept.get(name)
        if imported is None:
            raise NotFoundError(
                "expected files that were handed in to this process, but they are kept "
                "no longer, or another process that serves these pages took them: "
                "choose them again"
            )
        self._kept.move_to_end(name)
        return imported

    def _events(self) -> int:
        return sum(one.events for one in self._kept.values())
