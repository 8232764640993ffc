"""Pydantic models as JSON data, in a form that the same model takes again.

Where pydantic is not imported, no value is a model, and nothing is imported here.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast, get_args

from sayiir_es.wire.pydantic_bytes import has_bytes, with_exact_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MASK = "**********"
"""What pydantic writes in place of a secret: the secret is lost."""

CLASSES_MAX = 4_096
"""How many classes' forms are cached."""


class RefusedModelError(Exception):
    """What is wrong with a model, and where in it."""

    def __init__(self, problem: str, where: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.where = where


def is_model(cls: type) -> bool:
    """Whether pydantic made the class: a model, or a dataclass of pydantic's."""
    return "pydantic" in sys.modules and hasattr(cls, "__pydantic_serializer__")


def dump_model(value: Any, fallback: Callable[[object], object]) -> object:
    """A model as JSON data; `fallback` writes what pydantic does not know.

    Computed fields are left out where the model would not take them again. Aliases are
    as the model's `serialize_by_alias` says, if it takes them again.

    Raises:
        RefusedModelError: if pydantic cannot write it, or masks a secret in it.
    """
    from pydantic_core import PydanticSerializationError  # noqa: PLC0415 (loaded already)

    write = _writer(value.__class__)
    try:
        dumped: object = write(
            value,
            mode="json",
            by_alias=False if _writes_foreign_aliases(value.__class__) else None,
            exclude_computed_fields=_refuses_computed(value.__class__),
            fallback=fallback,
        )
    except (PydanticSerializationError, ValueError) as error:
        why = f"that cannot be written: {error}"
        if "Circular reference" in why:  # which pydantic says of too deep ones, too
            why = "that is nested too deeply, or holds itself,"
        raise RefusedModelError(f"{_described(value)} {why}") from error
    if _has_other_keys(value.__class__):
        for where in _merged(write(value, mode="python"), "", dumped):
            raise RefusedModelError("keys that are the same as text,", where)
    if _holds_mask(dumped):
        secret = next(_secrets(write(value, mode="python"), "", dumped), None)
        if secret is not None:
            where, name = secret
            raise RefusedModelError(
                f"a {name}, which pydantic writes as a mask (a field_serializer of the "
                "model says what is written instead)",
                where,
            )
    return dumped


def _merged(value: object, where: str, dumped: object) -> Iterator[str]:
    """Where Pydantic made one text of two keys."""
    if isinstance(value, dict) and isinstance(dumped, dict):
        pairs = cast("dict[object, object]", value)
        texts = cast("dict[str, object]", dumped)
        if len(pairs) > len(texts):
            yield where
            return
        for item, (key, text) in zip(pairs.values(), texts.items(), strict=False):
            yield from _merged(item, f"{where}.{key}", text)
    elif isinstance(value, list | tuple) and isinstance(dumped, list):
        items = zip(
            cast("list[object]", value), cast("list[object]", dumped), strict=False
        )
        for index, (item, text) in enumerate(items):
            yield from _merged(item, f"{where}[{index}]", text)


def _described(value: object) -> str:
    return f"a {type(value).__name__}"


def _holds_mask(value: object) -> bool:
    if isinstance(value, str):
        return value == MASK
    if isinstance(value, dict):
        return any(map(_holds_mask, cast("dict[str, object]", value).values()))
    if isinstance(value, list):
        return any(map(_holds_mask, cast("list[object]", value)))
    return False


def _secrets(value: object, where: str, dumped: object) -> Iterator[tuple[str, str]]:
    """Each secret for which a mask was written: its path, and its type."""
    from pydantic import Secret, SecretBytes, SecretStr  # noqa: PLC0415 (loaded already)

    if isinstance(value, (SecretStr, SecretBytes, Secret)):
        if dumped == MASK:
            yield where, type(cast("object", value)).__name__
    elif isinstance(value, dict) and isinstance(dumped, dict):
        pairs = cast("dict[object, object]", value).values()
        for item, (key, text) in zip(
            pairs, cast("dict[str, object]", dumped).items(), strict=False
        ):
            yield from _secrets(item, f"{where}.{key}", text)
    elif isinstance(value, list | tuple | set | frozenset) and isinstance(dumped, list):
        items = cast("list[object]", value)
        for index, (item, text) in enumerate(
            zip(items, cast("list[object]", dumped), strict=False)
        ):
            yield from _secrets(item, f"{where}[{index}]", text)


@lru_cache(maxsize=CLASSES_MAX)
def _writer(cls: Any) -> Callable[..., object]:
    schema = getattr(cls, "__pydantic_core_schema__", None)
    if isinstance(schema, dict) and has_bytes(schema):
        from pydantic_core import SchemaSerializer  # noqa: PLC0415 (loaded already)

        made: Any = SchemaSerializer(with_exact_bytes(schema), _use_prebuilt=False)
    else:
        made = cls.__pydantic_serializer__
    write: Callable[..., object] = made.to_python
    return write


@lru_cache(maxsize=CLASSES_MAX)
def _has_other_keys(cls: Any) -> bool:
    """Whether a dict in the class may have keys that are no texts."""
    schema = repr(getattr(cls, "__pydantic_core_schema__", ""))
    keys = schema.count("'keys_schema': ")
    return keys > schema.count("'keys_schema': {'type': 'str'")


@lru_cache(maxsize=CLASSES_MAX)
def _refuses_computed(cls: type) -> bool:
    """Whether the class, or one in a field, would refuse or keep a computed field."""
    return any(
        bool(getattr(model, "model_computed_fields", None))
        and model.model_config.get("extra") in ("forbid", "allow")
        for model in _models_in(cls, set())
    )


@lru_cache(maxsize=CLASSES_MAX)
def _writes_foreign_aliases(cls: Any) -> bool:
    """Whether a model writes a name that it does not read."""
    return any(
        one.serialization_alias not in (None, name, one.validation_alias)
        for model in _models_in(cls, set())
        if model.model_config.get("serialize_by_alias")
        for name, one in model.model_fields.items()
    )


def _models_in(hint: Any, seen: set[int]) -> Iterator[Any]:
    if id(hint) in seen:
        return
    seen.add(id(hint))
    fields = getattr(hint, "model_fields", None)
    if isinstance(hint, type) and isinstance(fields, dict):
        yield hint
        for one in cast("dict[str, Any]", fields).values():
            yield from _models_in(one.annotation, seen)
    for part in get_args(hint):
        yield from _models_in(part, seen)
