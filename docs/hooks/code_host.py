r"""Pages that are written to be read on a code host too, as pages of the site.

Theory of operation. On a code host a page may link to any file of the repository. On
the site only files below docs/ are there: a link that leaves docs/ gets the address of
that file on the code host. One that leads nowhere stays as it is, and fails the build.
Two things are read differently by code hosts and by Python's Markdown: a list may begin
without an empty line before it, and `\|` in the code of a table's cell is a bar.
"""

from __future__ import annotations

import html
import os
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")
ITEM = re.compile(r"\s*([*+-]|\d+\.)\s")
FENCE = re.compile(r"\s*(```|~~~)")


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Turn what a code host reads differently."""
    del files
    folder = Path(config.docs_dir, page.file.src_uri).parent
    return "\n".join(
        line if is_code else _line(line, folder) for line, is_code in _lines(markdown)
    )


def _line(line: str, folder: Path) -> str:
    if line.lstrip().startswith("|"):
        line = _with_bars(line)
    return LINK.sub(lambda link: _turned(link, folder), line)


def _with_bars(row: str) -> str:
    """A row of a table; code that has a bar becomes HTML."""
    parts = row.split("`")
    for index, text in enumerate(parts):
        is_code = index % 2 == 1 and index + 1 < len(parts)
        if is_code and "\\|" in text:
            inner = html.escape(text.replace("\\|", "|"), quote=False)
            parts[index] = f"<code>{inner.replace('|', '&#124;')}</code>"
        elif is_code:
            parts[index] = f"`{text}`"
        elif index % 2 == 1:
            parts[index] = f"`{text}"
    return "".join(parts)


def _lines(markdown: str) -> list[tuple[str, bool]]:
    """Each line, and whether it is code; an empty one more before some lists."""
    lines: list[tuple[str, bool]] = []
    is_code = False
    before = ""
    for line in markdown.splitlines():
        is_fence = FENCE.match(line) is not None
        begins_list = ITEM.match(line) and before and line[:1] not in " \t"
        if begins_list and not is_code and not _is_in_list(before):
            lines.append(("", False))
        lines.append((line, is_code or is_fence))
        is_code ^= is_fence
        before = line.rstrip()
    return lines


def _is_in_list(line: str) -> bool:
    return ITEM.match(line) is not None or line[:1] in (" ", "\t")


def _turned(link: re.Match[str], folder: Path) -> str:
    path = Path(os.path.normpath(folder / link[2]))
    is_page = path.is_relative_to(ROOT / "docs") and not path.is_dir()
    if is_page or not path.exists():
        return link[0]
    kind = "tree" if path.is_dir() else "blob"
    address = f"{repository()}/{kind}/main/{path.relative_to(ROOT).as_posix()}"
    return f"{link[1]}{address}{link[3]}"


@cache
def repository() -> str:
    """The address of the repository, as the package names it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    address = project["urls"]["Documentation"]
    assert isinstance(address, str)
    return address.partition("#")[0]
