"""A real Chromium without a screen, and what it must never tell of a page."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.tree import ROOT
from tests.without_kafka import MISSING

if TYPE_CHECKING:
    from collections.abc import Generator

    from playwright.sync_api import Browser, ConsoleMessage, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
AXE = ROOT / "tests/web/vendor/axe.min.js"
NARROW = {"width": 380, "height": 800}
WIDE = {"width": 1280, "height": 900}

LIMIT_MS = 30_000
"""How long a page may take for what is waited for: far more than it does."""

expect.set_options(timeout=LIMIT_MS)

_HOW = f"no Chromium for tests: install one of {', '.join(NAMES)}"


def _without_chromium() -> NoReturn:
    """Skip the test, or fail it where `CI=true` says that none may be skipped."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(_HOW, pytrace=False)
    MISSING.append(_HOW)
    pytest.skip("no Chromium for tests")


@contextmanager
def chromium() -> Generator[Browser]:
    """A browser for many tests."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        _without_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser, address: str, *, expected: tuple[str, ...] = (), **options: Any
) -> Generator[Page]:
    """A page of a browser without history, whose console must stay empty.

    Errors of scripts and violations of the content security policy stand there, too;
    what has one of the `expected` texts in it may.
    """
    settings: dict[str, Any] = {"base_url": address, "viewport": WIDE}
    settings.update({"locale": "en-GB"}, **options)
    context = browser.new_context(**settings)
    context.set_default_timeout(LIMIT_MS)
    page = context.new_page()
    told: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            told.append(f"{page.url}: {message.text} {message.location.get('url')}")

    page.on("console", note)
    page.on("pageerror", lambda error: told.append(f"{page.url}: {error}"))
    try:
        yield page
        wrong = [one for one in told if not any(text in one for text in expected)]
        assert not wrong, wrong
    finally:
        context.close()


def go_to(page: Page, path: str) -> None:
    """Go there, and wait until scripts listen and all parts are there."""
    page.goto(path)
    wait_until_ready(page)


def wait_until_ready(page: Page) -> None:
    """Wait until the scripts of a page listen, and all its parts are there."""
    expect(page.locator("html[data-ready]")).to_have_count(1)
    expect(page.locator("[aria-busy=true]")).to_have_count(0)


def serious_findings(page: Page, rules: tuple[str, ...] = ()) -> list[str]:
    """What axe finds that keeps people from using a page; by some rules, or all."""
    page.evaluate(AXE.read_text("utf-8"))
    options = {"runOnly": list(rules)} if rules else {}
    result = page.evaluate(
        "async (options) => (await axe.run(document, options)).violations", options
    )
    return [
        f"{one['impact']}: {one['id']}: {one['help']}: "
        f"{[node['html'][:200] for node in one['nodes'][:3]]}"
        for one in result
        if one["impact"] in ("serious", "critical")
    ]


def page_width(page: Page) -> int:
    """How wide a page is, in pixels; more than the screen is, if it scrolls."""
    width: int = page.evaluate("document.documentElement.scrollWidth")
    return width
