"""The pages in a real browser: every control, the keyboard alone, axe, a phone."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import pytest
from playwright.sync_api import expect

from tests.web.pages.chromium import (
    NARROW,
    go_to,
    opened,
    page_width,
    serious_findings,
    wait_until_ready,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

    from tests.web.pages.trouble_world import TroubleWorld

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
"""Those that axe and the phone see, too; of instances others tests see more."""

INSTANCES = (
    "/instances/order-0",
    "/instances/order-9?tab=graph&name=ship",
    "/instances/order-1?tab=history&at=2",
    "/instances/approval-1",
)

MORE_PAGES = (
    *INSTANCES,
    "/partitions",
    "/workers",
    "/import",
    "/errors/access_refused",
)

IN_THE_DARK = ("/", "/start", "/workflows/orders", "/dead-letters/0@0")
"""Axe takes a second a page: those that have all the colours there are."""

WRONG_CRITERION = "400 (Bad Request)"
"""What Chromium tells of the page of a criterion that is none."""

CONTROLS = (
    "main :is(button, summary, input, select):not(tbody tr:nth-child(n+3) *), "
    "header button"
)
"""Of tables the first rows: others have the same."""

SENDS = """one => one.form && one.type === "submit" && one.tagName === "BUTTON"
    && one.form.method !== "dialog" && !one.hasAttribute("popovertarget")
    && one.dataset.confirm === undefined && one.form.dataset.confirm === undefined"""
"""Whether it sends a form at once; others ask first."""


@pytest.fixture(scope="module")
def followed() -> set[str]:
    """What links led to already: each is followed once."""
    return set()


def use(page: Page, control: Locator) -> None:
    """Click a control, or choose; what opens over the page is closed again."""
    if control.evaluate("one => one.matches('select')"):
        control.select_option(index=0)
    else:
        control.click()
    if page.locator("dialog[open], :popover-open").count():
        page.keyboard.press("Escape")
        expect(page.locator("dialog[open], :popover-open")).to_have_count(0)
    expect(page.locator(".htmx-request")).to_have_count(0)


@pytest.mark.parametrize("path", [*PAGES, *MORE_PAGES])
def test_every_control_can_be_used_and_every_link_leads_somewhere(
    browser: Browser, world: TroubleWorld, followed: set[str], path: str
) -> None:
    with opened(browser, world.address, expected=(WRONG_CRITERION,)) as page:
        go_to(page, path)
        place = urlsplit(page.url).path
        used = sending = 0
        for number in range(page.locator(CONTROLS).count()):
            control = page.locator(CONTROLS).nth(number)
            if not (control.is_visible() and control.is_enabled()):
                continue
            if control.evaluate(SENDS):
                sending += 1
                continue
            use(page, control)
            assert urlsplit(page.url).path == place
            used += 1
        assert used >= 3
        for number in range(sending):
            go_to(page, path)
            sends = [
                one
                for one in page.locator(CONTROLS).all()
                if one.is_visible() and one.is_enabled() and one.evaluate(SENDS)
            ]
            sends[number].click()
            # What the answer lacks, or that it is an error, the console would tell.
            wait_until_ready(page)
        go_to(page, path)
        targets = page.locator("a[href]").evaluate_all(
            "all => all.map(one => one.getAttribute('href'))"
        )
        assert targets
        for target in sorted({*targets} - followed):
            if target.startswith("#"):
                assert page.locator(f"[id='{target[1:]}']").count() == 1, target
                continue
            response = page.request.get(urljoin(page.url, target))
            assert response.ok or "nonsense" in target, (target, response.status)
            if not target.startswith("?"):
                followed.add(target)


@pytest.mark.parametrize(
    ("colours", "rules", "paths"),
    [("light", (), PAGES), ("dark", ("color-contrast",), IN_THE_DARK)],
)
def test_axe_finds_nothing_serious(
    browser: Browser,
    world: TroubleWorld,
    colours: str,
    rules: tuple[str, ...],
    paths: tuple[str, ...],
) -> None:
    wrong: list[str] = []
    with opened(
        browser, world.address, expected=(WRONG_CRITERION,), color_scheme=colours
    ) as page:
        for path in paths:
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
