"""`FOLDER/*` in the navigation of mkdocs.yml becomes every page of that folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

Entry: TypeAlias = "str | dict[str, str | list[Entry]]"

ALL_PAGES = "/*"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the names of pages in the place of each `FOLDER/*`."""
    docs = Path(config.docs_dir)
    nav = cast("list[Entry]", config["nav"] or [])
    config["nav"] = [_expanded(entry, docs) for entry in nav]
    return config


def _expanded(entry: Entry, docs: Path) -> Entry:
    if isinstance(entry, str):
        return entry
    return {title: _pages(value, docs) for title, value in entry.items()}


def _pages(value: str | list[Entry], docs: Path) -> str | list[Entry]:
    if isinstance(value, list):
        return [_expanded(entry, docs) for entry in value]
    if not value.endswith(ALL_PAGES):
        return value
    folder = docs / value.removesuffix(ALL_PAGES)
    names = sorted(page.relative_to(docs).as_posix() for page in folder.glob("*.md"))
    return [name for name in names if not name.endswith("/000-template.md")]
