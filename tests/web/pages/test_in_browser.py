"""The pages in a real browser: every control, the keyboard alone, axe, a phone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.web.pages.chromium import NARROW, go_to, opened, page_width, serious_findings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.web.pages.trouble_world import TroubleWorld

# Other rooms test what stands behind links that lead to these.
PAGES = (
    "/",
    "/?q=no-such-id",
    "/?since=nonsense",
    "/start",
    "/workflows",
    "/workflows/orders",
    "/workflows/exports",
    "/dead-letters",
    "/dead-letters/0@0",
    "/topics",
    "/topics/schemas/io.sayiir.event.v1.TaskFailed",
)

LINKS_MAX = 12
"""How many links of a page are followed."""

WRONG_CRITERION = "400 (Bad Request)"
"""What Chromium tells of the page of a criterion that is none."""

CONTROLS = (
    "main :is(button, summary, input, select):not(tbody tr:nth-child(n+3) *), "
    "header button"
)
"""Of tables the first rows: others have the same."""


@pytest.mark.parametrize("path", PAGES)
def test_every_control_can_be_used(
    browser: Browser, world: TroubleWorld, path: str
) -> None:
    with opened(browser, world.address, expected=(WRONG_CRITERION,)) as page:
        go_to(page, path)
        address = page.url
        assert page.locator(CONTROLS).count() >= 3
        for control in page.locator(CONTROLS).element_handles():
            if control.get_attribute("type") == "submit" or not control.is_visible():
                continue
            if not control.is_enabled():
                continue
            if control.evaluate("one => one.matches('select')"):
                control.select_option(index=0)
            else:
                control.click()
            if page.locator("dialog[open]").count():
                page.keyboard.press("Escape")
                page.wait_for_selector("dialog[open]", state="detached")
            assert page.url == address
        for link in page.locator("main a[href]").all()[:LINKS_MAX]:
            target = link.get_attribute("href") or ""
            if target.startswith(("/instances/", "/workers", "/errors/")):
                continue
            response = page.request.get(target)
            assert response.ok or "nonsense" in target, target


@pytest.mark.parametrize(
    ("colours", "rules"), [("light", ()), ("dark", ("color-contrast",))]
)
def test_axe_finds_nothing_serious(
    browser: Browser, world: TroubleWorld, colours: str, rules: tuple[str, ...]
) -> None:
    wrong: list[str] = []
    with opened(
        browser, world.address, expected=(WRONG_CRITERION,), color_scheme=colours
    ) as page:
        for path in PAGES:
            go_to(page, path)
            wrong += [f"{path}: {one}" for one in serious_findings(page, rules)]
        go_to(page, "/")
        page.click("#retry-everything")
        wrong += [f"dialog: {one}" for one in serious_findings(page, rules)]
    assert not wrong, "\n".join(wrong)


def test_a_phone_scrolls_no_page_sideways(
    browser: Browser, world: TroubleWorld
) -> None:
    wide: list[str] = []
    with opened(
        browser, world.address, expected=(WRONG_CRITERION,), viewport=NARROW
    ) as page:
        for path in PAGES:
            go_to(page, path)
            page.evaluate(
                "document.querySelectorAll('details').forEach(one => one.open = true)"
            )
            if page_width(page) > NARROW["width"]:
                wide.append(path)
        go_to(page, "/")
        page.click("#show-shortcuts")
        box = page.locator("#shortcuts").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= NARROW["width"]
    assert not wide


def test_hostile_text_is_text(browser: Browser, world: TroubleWorld) -> None:
    with opened(browser, world.address) as page:
        page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        go_to(page, "/")
        rows = page.inner_text("#instances")
        assert "<img src=x onerror=alert(1)>\\x1b[2J" in rows
        assert "<script>alert(1)</script> does not answer" in page.inner_text(
            "#trouble"
        )
        assert page.locator("main img, main script").count() == 0
