"""Runs every example of the manual and checks the claims of its pages."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import structlog

from tests.docs.page_runner import PageRunner
from tests.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
PAGES = [*GUIDES, ROOT / "docs" / "migrating-from-sayiir.md"]

SECTIONS = ("## Smallest example", "## Options", "## What happens at a crash")
LAST_SECTIONS = ("## What the log shows", "## Common mistakes")


@pytest.fixture(autouse=True)
def _page_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """An empty directory, and a terminal as wide as the pages expect."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
    for name in ("SAYIIR_BACKEND", "SAYIIR_STATE_DIR", "SAYIIR_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    # A page sets it: this resets it after that page.
    monkeypatch.setenv("SAYIIR_SIGNING_KEY", "")
    yield
    structlog.reset_defaults()  # commands of this test logged to its own stderr
    logging.basicConfig(force=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_example_of_a_page_does_what_the_page_says(page: Path) -> None:
    assert PageRunner(page).run() > 0
