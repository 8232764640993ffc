"""`FOLDER/*` in the navigation becomes the pages of that folder without a place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig

Entry: TypeAlias = "str | dict[str, str | list[Entry]]"

ALL_PAGES = "/*"
TEMPLATE = "000-template.md"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the names of pages in the place of each `FOLDER/*`."""
    nav = cast("list[Entry]", config["nav"] or [])
    config["nav"] = _expanded(nav, Path(config.docs_dir), set(_named(nav)))
    return config


def _named(entries: list[Entry]) -> Iterator[str]:
    """Every page that the navigation names."""
    for entry in entries:
        for value in [entry] if isinstance(entry, str) else entry.values():
            if isinstance(value, list):
                yield from _named(value)
            else:
                yield value


def _expanded(entries: list[Entry], docs: Path, named: set[str]) -> list[Entry]:
    """The entries; a section that would be empty is left out."""
    expanded: list[Entry] = []
    for entry in entries:
        if isinstance(entry, str):
            expanded.append(entry)
            continue
        for title, value in entry.items():
            pages = _pages(value, docs, named)
            if pages:
                expanded.append({title: pages})
    return expanded


def _pages(value: str | list[Entry], docs: Path, named: set[str]) -> str | list[Entry]:
    if isinstance(value, list):
        return _expanded(value, docs, named)
    if not value.endswith(ALL_PAGES):
        return value
    folder = docs / value.removesuffix(ALL_PAGES)
    names = sorted(page.relative_to(docs).as_posix() for page in folder.glob("*.md"))
    return [n for n in names if n not in named and not n.endswith(TEMPLATE)]
