"""The pages of error codes, from the package itself."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_LINK = re.compile(r"\[([^\]]*)\]\((?![a-z]+:)[^)]*\)")
"""A link to another page of the manual, which is not there."""


def error_codes() -> list[str]:
    """All codes that have a page."""
    return sorted(
        entry.name.removesuffix(".md")
        for entry in _directory().iterdir()
        if entry.name.endswith(".md")
    )


def error_page(code: str) -> str:
    """The page of a code, in Markdown; the code is one of `error_codes`."""
    return _directory().joinpath(f"{code}.md").read_text(encoding="utf-8")


def without_links(text: str) -> str:
    """A page with the words of its links alone, where they lead nowhere."""
    return _LINK.sub(r"\1", text)


def _directory() -> Traversable:
    """Where the pages are: in the installed package or the checkout."""
    packaged = resources.files("sayiir_es.operations") / "error_pages"
    if packaged.is_dir():
        return packaged
    return Path(__file__).resolve().parents[2] / "docs" / "errors"
