"""Values are stored once; an input is a reference, and this resolves it to bytes.

`start` (the run's input) · `result:PATH` · `signal:SEQUENCE` · `null`. The bytes are
the user's codec's; they are passed on, never decoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.errors import HistoryError
from sayiir_es.core.rows import value

if TYPE_CHECKING:
    from sayiir_es.core.rows import Rows

NULL = b"null"


def resolve(rows: Rows, reference: str) -> bytes:
    """The bytes that a reference names.

    Raises:
        HistoryError: if no event recorded that value.
    """
    if reference == "null":
        return NULL
    found = value(rows, reference)
    if found is None:
        raise HistoryError(
            f"expected a recorded value under {reference!r}, but there is none"
        )
    return found
