"""Partitions and workers in a real browser: who serves what, how far, and what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.web.pages.chromium import (
    NARROW,
    go_to,
    opened,
    page_width,
    serious_findings,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tests.web.pages.trouble_world import TroubleWorld


@pytest.fixture
def page(browser: Browser, world: TroubleWorld) -> Iterator[Page]:
    with opened(browser, world.address) as page:
        yield page


def test_a_partition_says_who_serves_it_and_how_far_it_is(page: Page) -> None:
    go_to(page, "/partitions")
    row = page.locator("#partition-0")
    expect(row).to_contain_text("served")
    expect(row).to_contain_text("w-1")
    assert row.get_attribute("data-behind") == "0"
    expect(row.locator(".spark")).to_have_text("drawn in a moment")
    # The line is drawn as soon as there are two points, by what comes of itself.
    expect(row.locator(".spark canvas")).to_have_count(1)
    assert serious_findings(page) == []


def test_a_worker_says_what_it_can_run(page: Page) -> None:
    go_to(page, "/workers")
    worker = page.locator("#worker-1")
    expect(worker).to_contain_text("serves 1 partition")
    expect(worker).to_contain_text("approvals, orders")
    expect(worker).to_contain_text("of 64 in use")
    expect(worker).to_contain_text("runs tasks of any tags")
    assert serious_findings(page) == []


@pytest.mark.parametrize("path", ["/partitions", "/workers"])
def test_both_fit_a_narrow_screen_and_the_dark(
    browser: Browser, world: TroubleWorld, path: str
) -> None:
    options: dict[str, Any] = {"viewport": NARROW, "color_scheme": "dark"}
    with opened(browser, world.address, **options) as page:
        go_to(page, path)
        assert page_width(page) <= NARROW["width"]
        assert serious_findings(page) == []
