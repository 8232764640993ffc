"""The reference of the settings, of the class that reads them."""

from __future__ import annotations

import re

from markdown_text import code, plain, table

from sayiir_es.settings import PREFIX, Settings

WORD = re.compile(r"'([^']*)'")


def settings_reference(argument: str) -> str:
    """Each variable of the environment, what it may be, and its default."""
    del argument
    return table(
        ("variable", "may be", "is"),
        (
            (
                code(f"{PREFIX}{name.upper()}"),
                _type_text(str(field.annotation)),
                plain(field.description or "") + _default_text(field.default),
            )
            for name, field in Settings.model_fields.items()
        ),
    )


def _type_text(annotation: str) -> str:
    words = WORD.findall(annotation)
    if "Literal" in annotation and words:
        return ", ".join(code(word) for word in words)
    for name, text in (
        ("bool", "`true`, `false`"),
        ("float", "seconds, or a text such as `45s`"),
        ("int", "a whole number"),
        ("Path", "a path"),
    ):
        if name in annotation:
            return text
    return "text"


def _default_text(value: object) -> str:
    if value is None:
        return ""
    return f"; by default {code(str(value).lower() if value is False else value)}"
