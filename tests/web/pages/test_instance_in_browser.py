"""The page of one instance in a real browser: its tabs, its forms, a phone, axe."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from sayiir_es.web.pages import instance_page
from sayiir_es.web.pages.instance_address import instance_address
from sayiir_es.web.settings import WebSettings
from tests.web.pages.chromium import (
    NARROW,
    go_to,
    opened,
    page_width,
    serious_findings,
)
from tests.web.pages.instance_world import (
    HOSTILE_ID,
    WORKFLOWS,
    fill_instances,
    until_status,
)
from tests.web.pages.trouble_world import TroubleWorld

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

HOSTILE = instance_address(HOSTILE_ID)
PAGES = (
    "/instances/order-7",
    "/instances/order-7?scale=order",
    "/instances/order-7?tab=graph&name=charge",
    "/instances/order-7?tab=history&at=4",
    "/instances/order-7?tab=history&view=all",
    "/instances/order-7?tab=history&view=json",
    "/instances/order-8?tab=graph",
    "/instances/order-9",
    "/instances/stuck-1",
    "/instances/big-1?tab=history",
    HOSTILE,
    f"{HOSTILE}?tab=history",
    "/import",
)


LOOKED_AT = (
    "/instances/order-7",
    "/instances/order-7?tab=graph&name=charge",
    "/instances/order-7?tab=history&at=4",
    "/instances/stuck-1",
    HOSTILE,
    "/import",
)
"""By axe, which takes a second a page."""


@pytest.fixture(scope="module")
def world() -> Iterator[TroubleWorld]:
    settings = WebSettings(trace_url="https://traces.example/{trace_id}")
    with TroubleWorld(WORKFLOWS, fill_instances, settings) as world:
        yield world


CONNECTED = "() => document.documentElement.dataset.connection"
"""A function, and no text to be evaluated, which the policy of a page forbids."""


def text_of(page: Page, selector: str) -> str:
    return page.locator(selector).inner_text()


def wait_for_text(page: Page, selector: str, text: str) -> None:
    page.locator(selector, has_text=text).first.wait_for()


@pytest.mark.parametrize(
    ("colours", "rules", "paths"),
    [("light", (), LOOKED_AT), ("dark", ("color-contrast",), LOOKED_AT[:4])],
)
def test_axe_finds_nothing_serious(
    browser: Browser,
    world: TroubleWorld,
    colours: str,
    rules: tuple[str, ...],
    paths: tuple[str, ...],
) -> None:
    wrong: list[str] = []
    with opened(browser, world.address, color_scheme=colours) as page:
        for path in paths:
            page.goto(path)
            wrong += [f"{path}: {one}" for one in serious_findings(page, rules)]
        page.goto("/instances/order-9")
        page.click("text=Fork…")
        wrong += [f"fork: {one}" for one in serious_findings(page, rules)]
    assert not wrong, "\n".join(wrong)


def test_a_phone_scrolls_no_page_sideways(
    browser: Browser, world: TroubleWorld
) -> None:
    wide: list[tuple[str, int]] = []
    with opened(browser, world.address, viewport=NARROW) as page:
        for path in PAGES:
            page.goto(path)
            page.evaluate(
                "document.querySelectorAll('details').forEach(one => one.open = true)"
            )
            if page_width(page) > NARROW["width"]:
                wide.append((path, page_width(page)))
    assert not wide


def test_the_top_says_in_a_sentence_how_it_is(
    browser: Browser, world: TroubleWorld
) -> None:
    with opened(browser, world.address) as page:
        page.goto("/instances/order-9")
        assert "waits for signal 'approval' at 'approval' until" in text_of(
            page, ".sentence"
        )
        page.goto("/instances/order-7")
        sentence = text_of(page, ".sentence")
        assert "has failed: ConnectionError: the courier's door is shut" in sentence
        assert "hand_over" in text_of(page, ".problem")
        page.click(".problem summary")
        assert "raise ConnectionError" in text_of(page, ".problem pre")
        page.goto("/instances/stuck-1")
        assert "attempt 2 of 10" in text_of(page, ".pending")
        assert "in 59 min" in text_of(page, ".pending")


def test_hostile_texts_are_text_and_secrets_are_hidden(
    browser: Browser, world: TroubleWorld
) -> None:
    with opened(browser, world.address) as page:
        for tab in ("timeline", "graph", "history", "history&view=json"):
            page.goto(f"{HOSTILE}?tab={tab}")
            assert "\\x1b[2J\\u202e" in text_of(page, "h1")
            assert page.locator("img, main script").count() == 0
            content = page.content()
            for hidden in ("\x1b", "\u202e", "4111-1111", "hunter2", "s3cret"):
                assert hidden not in content, (tab, hidden)
        page.goto(f"{HOSTILE}?tab=graph&name=charge")
        assert "<img src=x onerror=alert(2)> password=***" in text_of(page, "#node")


def test_a_click_on_a_node_shows_its_attempts_and_payloads(
    browser: Browser, world: TroubleWorld
) -> None:
    with opened(browser, world.address) as page:
        page.goto("/instances/order-7?tab=graph")
        assert "↺ undone ×3" in (page.text_content(".graph-drawing") or "")
        page.click(".graph-drawing a[href$='name=charge']")
        wait_for_text(page, "#node", "charge#3")
        node = text_of(page, "#node")
        assert node.count("failed, tried again") == 2
        assert '"charged": true' in node
        assert page.url.endswith("name=charge")
        page.focus(".graph-drawing a[href$='name=hand_over']")
        page.keyboard.press("Enter")
        wait_for_text(page, "#node", "hand_over#1")
        assert "the courier's door is shut" in text_of(page, "#node")


def test_the_slider_goes_through_time_by_keyboard(
    browser: Browser, world: TroubleWorld
) -> None:
    with opened(browser, world.address) as page:
        page.goto("/instances/order-7?tab=history&at=3")
        assert "Event 3 of" in text_of(page, "#state")
        page.focus("#at")
        page.keyboard.press("ArrowRight")
        wait_for_text(page, "#state", "Event 4 of")
        assert "RetryRecorded" in text_of(page, "#state")
        assert "attempts.charge" in text_of(page, "#state .changes")
        page.focus("#state a[rel=next]")
        page.keyboard.press("Enter")
        wait_for_text(page, "#state", "Event 5 of")
        assert page.input_value("#at") == "5"
        assert page.evaluate("document.activeElement.rel") == "next"


def test_what_is_open_stays_open_when_the_slider_moves(
    browser: Browser, world: TroubleWorld
) -> None:
    with opened(browser, world.address) as page:
        go_to(page, "/instances/order-7?tab=history&at=3")
        page.click("#state summary")
        page.focus("#at")
        page.keyboard.press("ArrowRight")
        wait_for_text(page, "#state", "Event 4 of")
        expect(page.locator("#state details")).to_have_attribute("open", "")
        page.click("#state summary")
        page.click("#state a[rel=next]")
        wait_for_text(page, "#state", "Event 5 of")
        expect(page.locator("#state details")).not_to_have_attribute("open", "")


def test_all_works_without_a_script(browser: Browser, world: TroubleWorld) -> None:
    with opened(browser, world.address, java_script_enabled=False) as page:
        page.goto("/instances/order-7?tab=history&at=3")
        page.click("#state a[rel=prev]")
        assert "Event 2 of" in text_of(page, "#state")
        page.goto("/instances/order-7?tab=graph")
        page.click(".graph-drawing a[href$='name=hand_over']")
        assert "hand_over#1" in text_of(page, "#node")


def test_a_signal_is_sent_and_the_page_goes_on_by_itself(
    browser: Browser, world: TroubleWorld
) -> None:
    async def start(client: object) -> None:
        await client.submit(WORKFLOWS[1], "live-1", {"customer": "bo", "amount": 1})  # type: ignore[attr-defined]
        await until_status(client, "live-1", "awaiting_signal")  # type: ignore[arg-type]

    world.call(start)
    with (
        opened(browser, world.address, expected=("422",)) as page,
        opened(browser, world.address) as watching,
    ):
        watching.goto("/instances/live-1?tab=history")
        watching.wait_for_function(CONNECTED)
        watching.focus("text=All events")
        page.goto("/instances/live-1")
        page.fill("#signal-1 textarea", '{"ok": ')
        page.click("#signal-1 button")
        assert "expected the payload to be JSON" in text_of(page, ".problem")
        assert page.input_value("#signal-1 textarea") == '{"ok": '
        page.fill("#signal-1 textarea", '{"ok": true}')
        page.click("#signal-1 button")
        assert "Signal approval is sent" in text_of(page, ".flash")
        wait_for_text(page, ".sentence", "completed")
        wait_for_text(watching, ".sentence", "completed")
        wait_for_text(watching, "#tab", "WorkflowCompleted")
        assert watching.evaluate("document.activeElement.textContent") == "All events"
        assert watching.locator("#signals form").count() == 0
        watching.wait_for_function(
            "() => document.querySelector('#at').max === "
            "document.querySelector('#tab').dataset.last"
        )


def test_what_is_being_typed_stays_when_an_event_comes(
    browser: Browser, world: TroubleWorld
) -> None:
    with opened(browser, world.address) as page:
        page.goto("/instances/order-9")
        page.wait_for_function(CONNECTED)
        page.fill("#signal-1 textarea", '{"half": ')
        world.call(lambda client: client.pause("order-9", reason="a look"))
        wait_for_text(page, ".sentence", "is paused")
        assert page.input_value("#signal-1 textarea") == '{"half": '
        assert page.evaluate("document.activeElement.name") == "payload"
        page.click("#summary button[value=unpause]")
        page.fill("#confirm-reason-text", "looked")
        page.keyboard.press("Enter")
        wait_for_text(page, ".sentence", "waits for signal")
        page.goto("/instances/order-9?tab=history&view=all")
        assert "reason=looked" in text_of(page, ".history")


def test_fork_and_cancel_by_keyboard_alone(
    browser: Browser, world: TroubleWorld
) -> None:
    with opened(browser, world.address) as page:
        page.goto("/instances/order-8")
        page.focus("text=Fork…")
        page.keyboard.press("Enter")
        page.focus("#form-fork input[name=at]")
        page.keyboard.press("Control+a")
        page.keyboard.type("4")
        page.keyboard.press("Tab")
        page.keyboard.type("fork/of order-8")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/instances/{quote('fork/of order-8', safe='')}")
        assert "history up to event 4" in text_of(page, ".flash")
        page.focus("#summary button[value=cancel]")
        page.keyboard.press("Enter")
        page.keyboard.type("not wanted")
        page.keyboard.press("Enter")
        wait_for_text(page, ".sentence", "was cancelled: not wanted")


def test_values_that_are_large_are_cut_and_can_be_downloaded(
    browser: Browser, world: TroubleWorld, tmp_path: Path
) -> None:
    with opened(browser, world.address) as page:
        for tab in ("timeline", "history", "history&view=json", "graph&name=grow"):
            response = page.goto(f"/instances/big-1?tab={tab}")
            assert response is not None
            assert len(response.body()) < 200_000, tab
        page.goto("/instances/big-1")
        with page.expect_download() as download:
            page.click("text=Download all of it")
        download.value.save_as(tmp_path / "value.json")
    value = json.loads((tmp_path / "value.json").read_text())
    assert len(value["rows"]) == 20_000


def test_a_printed_history_dropped_in_shows_all_tabs_read_only(
    browser: Browser, world: TroubleWorld, tmp_path: Path
) -> None:
    with opened(browser, world.address, expected=("422",)) as page:
        page.goto("/instances/order-7?tab=history")
        with page.expect_download() as download:
            page.click("text=Download as JSON lines")
        download.value.save_as(tmp_path / "history.jsonl")
        page.goto("/import")
        page.set_input_files("#files", tmp_path / "history.jsonl")
        page.click(".import button")
        assert "has failed" in text_of(page, ".sentence")
        assert page.locator("main form[method=post]").count() == 0
        assert page.locator(".lane-row").count() > 10
        page.click(".tabs >> text=History")
        page.click("#state a[rel=prev]")
        assert "CompensationEnded" in text_of(page, "#tab")
        page.click(".tabs >> text=Graph")
        assert "does not hold the workflow's graph" in text_of(page, "#tab")
        page.goto("/import")
        (tmp_path / "bad.jsonl").write_text('{"kind": "Danced"}\n')
        page.set_input_files("#files", tmp_path / "bad.jsonl")
        page.click(".import button")
        assert "expected an event of a known kind at line 1 of 'bad.jsonl'" in text_of(
            page, ".problem"
        )


def test_a_history_that_takes_long_comes_by_itself(
    browser: Browser, world: TroubleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(browser, world.address) as page:
        monkeypatch.setattr(instance_page, "READ_LIMIT_S", 0)
        page.goto("/instances/order-8")
        assert "Its history is being read" in text_of(page, "main")
        monkeypatch.undo()
        wait_for_text(page, ".sentence", "completed")
