"""Instance ids as callers give them: text, or a `uuid.UUID`, which is taken as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import WorkflowError
from sayiir_es.core.model.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from uuid import UUID


def id_text(value: str | UUID, name: str = "instance_id") -> str:
    """The text of an id; `name` is that of the parameter, for the error.

    Raises:
        TypeError: if it is neither a str nor a `uuid.UUID`.
    """
    if isinstance(value, str):
        return value
    from uuid import UUID  # noqa: PLC0415 (slow to import, and seldom used)

    # Callers without type checkers give what they like.
    if isinstance(value, UUID):  # pyright: ignore[reportUnnecessaryIsInstance]
        return str(value)
    raise TypeError(
        f"{name}: expected a str or uuid.UUID, but {type(value).__name__} (write "
        "str(...))"
    )


def new_instance_id(value: str | UUID, name: str = "instance_id") -> str:
    """The text of an id that a new instance may have.

    Raises:
        TypeError: as `id_text`.
        WorkflowError: if it is empty or too long.
    """
    text = id_text(value, name)
    size = len(text.encode("utf-8", "surrogatepass"))
    if size == 0:
        raise WorkflowError(f"{name} must not be empty")
    if size > DEFAULT_LIMITS.id_bytes:
        raise WorkflowError(
            f"{name} length {size} exceeds maximum {DEFAULT_LIMITS.id_bytes} bytes"
        )
    return text
