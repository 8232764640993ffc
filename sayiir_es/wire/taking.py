"""Whether the tasks behind one take its result: else it is the one that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from sayiir_es.core.model.errors import DecodeError, EncodeError
from sayiir_es.wire.payload_codec import JSON_PAYLOADS

if TYPE_CHECKING:
    from sayiir_es.core.authoring.takers import Taker
    from sayiir_es.wire.payload_codec import Payloads


def check_taken(
    output: bytes, takers: tuple[Taker, ...], payloads: Payloads = JSON_PAYLOADS
) -> None:
    """Read an encoded result as each of its takers will.

    Raises:
        EncodeError: if one cannot; it names the task, and what that asks for.
    """
    for taker in takers:
        try:
            payloads.decode(output, taker.hint)
        except (DecodeError, ValueError, TypeError) as error:
            raise EncodeError(
                f"expected a result that the next task {taker.task_id!r} takes as "
                f"{_name_of(taker.hint)}, but {type(error).__name__}: {error}"
            ) from error


def _name_of(hint: Any) -> str:
    """A hint as people write it, without the metadata of an `Annotated`."""
    if get_origin(hint) is Annotated:
        return _name_of(get_args(hint)[0])
    return (
        hint.__name__ if isinstance(hint, type) and not get_args(hint) else repr(hint)
    )
