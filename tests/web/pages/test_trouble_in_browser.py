"""Monday morning in a real browser: what is stuck, why, and all of it goes on again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.web.pages import trouble_world
from tests.web.pages.chromium import go_to, opened, wait_until_ready
from tests.web.pages.trouble_world import (
    FAILED_IN_CHARGE,
    FAILED_IN_RESERVE,
    TroubleWorld,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

FAILED = FAILED_IN_CHARGE + FAILED_IN_RESERVE


@pytest.fixture
def world() -> Iterator[TroubleWorld]:
    with TroubleWorld() as world:
        yield world


@pytest.fixture
def page(browser: Browser, world: TroubleWorld) -> Iterator[Page]:
    with opened(browser, world.address) as page:
        go_to(page, "/")
        expect(page.locator("#trouble-title")).to_be_visible()
        yield page


def test_all_that_failed_goes_on_by_the_keyboard_alone(
    page: Page, world: TroubleWorld
) -> None:
    trouble = page.inner_text("#trouble")
    assert f"{FAILED_IN_CHARGE} CardDeclinedError in charge" in trouble
    assert "do not honour" in trouble
    assert f"{FAILED_IN_RESERVE} StockError in reserve" in trouble
    assert "2 wait for the code of exports" in trouble
    assert "2 wait to try ship again" in trouble
    assert "1 paused by somebody" in trouble
    assert "Unpause it…" in trouble
    # Times in sentences are shown as all others are.
    tried = page.locator("#trouble .why", has_text="the carrier refused")
    expect(tried).to_contain_text("after ConnectionError: the carrier refused, not")
    expect(tried.locator("time")).not_to_contain_text("Z")
    trouble_world.is_mended.set()

    page.keyboard.press("Shift+R")
    title = page.locator("#control-title")
    expect(title).to_have_text(f"Retry {FAILED} instances?")
    page.keyboard.type("the card network is back")
    page.keyboard.press("Enter")
    result = page.locator("#control-result")
    expect(result).to_have_text(f"{FAILED} instances go on.")
    expect(page.locator("#control-failed")).to_be_hidden()
    page.keyboard.press("Enter")  # Close has the focus

    # What has changed comes by itself.
    expect(page.locator("#count-completed")).to_contain_text(str(FAILED + 4))
    expect(page.locator("#count-failed")).to_have_count(0)
    assert not page.locator("dialog[open]").count()
    reasons = world.call(lambda client: client.count(status="completed"))
    assert reasons == FAILED + 4


def test_what_is_refused_is_told_by_id(page: Page) -> None:
    for instance_id in ("order-0", "approval-2"):
        page.check(f"#pick-{instance_id}")
    expect(page.locator("#picked")).to_have_text("2 selected")
    trouble_world.is_mended.set()
    page.click("#control-retry")
    page.fill("#control input[name=reason]", "try")
    page.click("#control-yes")
    expect(page.locator("#control-result")).to_have_text(
        "1 instance goes on; 1 refused."
    )
    row = page.locator("#control-errors tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("approval-2")
    expect(row).to_contain_text("expected a failed instance")


def test_a_group_counts_first_and_does_nothing_when_nobody_says_yes(
    page: Page, world: TroubleWorld
) -> None:
    page.click("text=Retry all 3…")
    expect(page.locator("#control-title")).to_have_text("Retry 3 instances?")
    page.click("text=Do nothing")
    assert world.call(lambda client: client.count(status="failed")) == FAILED
    expect(page.locator("text=Retry all 3…")).to_be_focused()


def test_a_signal_and_a_cancel_for_all_that_match(
    page: Page, world: TroubleWorld
) -> None:
    go_to(page, "/?workflow=approvals&status=awaiting_signal")
    page.click("#control-signal")
    page.locator("#control-form input[name=signal]").fill("approval")
    page.locator("#control-form textarea").fill('{"number": 1, "trouble": "none"}')
    expect(page.locator("#control-title")).to_have_text("Send a signal to 2 instances?")
    page.click("#control-yes")
    expect(page.locator("#control-result")).to_contain_text("2 instances have the")
    assert world.call(lambda client: client.count(status="awaiting_signal")) == 0

    go_to(page, "/?status=in_progress")
    page.click("#control-cancel")
    page.fill("#control input[name=reason]", "nobody wants them")
    page.click("#control-yes")
    expect(page.locator("#control-result")).to_contain_text("4 instances are cancelled")


def test_the_list_lives_and_keeps_selection_and_focus(
    page: Page, world: TroubleWorld
) -> None:
    page.check("#pick-order-0")
    page.focus("#open-order-1")
    world.call(
        lambda client: client.submit(
            trouble_world.orders, "order-new", {"number": 1, "trouble": "none"}
        )
    )
    expect(page.locator("#open-order-new")).to_be_visible()
    expect(page.locator("#pick-order-0")).to_be_checked()
    expect(page.locator("#open-order-1")).to_be_focused()
    expect(page.locator("#picked")).to_have_text("1 selected")


def test_keys_search_move_open_and_go(page: Page) -> None:
    page.keyboard.press("/")
    expect(page.locator("input[name=q]")).to_be_focused()
    page.keyboard.type("approval")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"\?q=approval"))
    wait_until_ready(page)
    expect(page.locator("#instances tbody tr")).to_have_count(3)
    for key, at in (("j", 0), ("j", 1), ("j", 2), ("j", 2), ("k", 1)):
        page.keyboard.press(key)
        row = page.locator("#instances tbody tr").nth(at)
        expect(row).to_have_class("current")
    page.keyboard.press("x")
    expect(page.locator("#picked")).to_have_text("1 selected")
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("w")
    expect(page).to_have_url(re.compile("/workflows$"))
    wait_until_ready(page)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/workflows/approvals/"))
    wait_until_ready(page)
    page.keyboard.press("g")
    page.keyboard.press("i")
    expect(page.locator("#instances")).to_be_visible()


def test_views_are_kept_in_the_browser(page: Page) -> None:
    go_to(page, "/?status=failed")
    page.click("#save-link")
    page.fill("#link-name", "Broken <b>orders</b>")
    page.keyboard.press("Enter")
    go_to(page, "/")
    page.click("#saved-links >> text=Broken <b>orders</b>")
    expect(page).to_have_url(re.compile(r"\?status=failed$"))
    page.click("#saved-links button")
    expect(page.locator("#saved-links")).to_be_hidden()


def test_colours_and_times_are_kept(page: Page) -> None:
    for name in ("Light", "Dark"):
        page.click("#theme")
        expect(page.locator("#theme")).to_have_text(name)
    page.click("#times")
    go_to(page, "/dead-letters")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator("td time").first).to_contain_text("UTC")


def test_a_dead_letter_is_retried_or_dropped(page: Page) -> None:
    go_to(page, "/dead-letters")
    rows = page.locator("#letters tbody tr")
    expect(rows).to_have_count(3)
    page.click('[aria-label="Drop 0@0"]')
    page.click("#confirm-yes")
    expect(page.locator("#confirm")).to_be_visible()  # a reason is asked for
    page.fill("#confirm-reason-text", "nobody needs it")
    page.click("#confirm-yes")
    expect(page.locator(".flash")).to_contain_text("0@0 is off the list")
    expect(rows).to_have_count(2)
    page.click('[aria-label="Retry 0@1"]')
    page.click("#confirm-yes")
    expect(page.locator(".flash-warning")).to_contain_text("CommandDeadLettered")
    page.click("text=Show 2 retried or dropped")
    expect(page.locator("#letters")).to_contain_text("dropped")


def test_a_start_checks_its_input_first(page: Page, world: TroubleWorld) -> None:
    go_to(page, "/start?workflow=orders")
    page.fill("input[name=instance_id]", "by-hand")
    page.fill("textarea[name=value]", '{"number": ')
    page.click("button:text-is('Start')")
    expect(page).to_have_url(re.compile("/start"))
    message = page.eval_on_selector("textarea", "one => one.validationMessage")
    assert message.startswith("Expected JSON, but")
    page.fill("textarea[name=value]", '{"number": 7, "trouble": "none"}')
    with page.expect_navigation(url=re.compile("/instances/by-hand")):
        page.click("button:text-is('Start')")
    expect(page.locator("h1")).to_contain_text("by-hand")
    expect(page.locator(".sentence")).to_contain_text("has completed")
    status = world.call(lambda client: client.wait("by-hand", 10))
    assert status.output == {"number": 7, "trouble": "none"}
