"""Parts of reference pages that are made of the code each time the site is built.

A page says `<!-- generated: NAME -->` where its part comes, so that no one writes such
a part by hand, and none can be out of date.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from command_line import command_line_reference
from errors_table import errors_reference
from metrics_table import metrics_reference
from python_api import python_reference
from rest_api import rest_reference
from schema_pages import schema_reference
from settings_table import settings_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

MARKER = re.compile(r"^<!-- generated: ([\w ./-]+) -->$", re.MULTILINE)

PARTS: Mapping[str, Callable[[str], str]] = {
    "command-line": command_line_reference,
    "errors": errors_reference,
    "metrics": metrics_reference,
    "python": python_reference,
    "rest": rest_reference,
    "schemas": schema_reference,
    "settings": settings_reference,
}
"""By the first word of a marker; each is given the words behind it."""


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Put each part in the place of its marker."""
    del config, files

    def part(marker: re.Match[str]) -> str:
        name, _, argument = marker[1].partition(" ")
        if name not in PARTS:
            raise ValueError(
                f"{page.file.src_uri}: expected one of {', '.join(PARTS)}, but {name!r}"
            )
        return PARTS[name](argument)

    return MARKER.sub(part, markdown)
