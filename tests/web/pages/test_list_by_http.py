"""The list of instances by HTTP: filters, pages, and commands for many."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest

from sayiir_es import Flow, InMemoryBackend, aio
from tests.web.browsers import browser, serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import httpx

MANY = 120
ODD_ID = 'a b/c"d\u202e\x00\x1b[2J?#%25'

parked = Flow("parked").wait_for_signal("go").build()


@pytest.fixture
async def client() -> AsyncGenerator[httpx.AsyncClient]:
    """A browser before the pages of a backend with many instances."""
    backend = InMemoryBackend()
    async with (
        serving(backend=backend) as app,
        aio.WorkflowClient(backend) as calls,
        aio.Worker("w", backend, [parked]),
        browser(app) as client,
    ):
        starts = [(f"p-{number:03}", None) for number in range(MANY)]
        await calls.submit_many(parked, starts, attributes={"customer": "42"})
        await calls.submit(parked, ODD_ID, None)
        yield client


def _ids(text: str) -> list[str]:
    return [
        unescape(one) for one in re.findall(r'name="ids"[^>]*value="([^"]*)"', text)
    ]


def _next_page(text: str) -> str | None:
    found = re.search(r'rel="next" href="([^"]*)"', text)
    return None if found is None else unescape(found[1])


async def _act(client: httpx.AsyncClient, **form: Any) -> httpx.Response:
    """What a post of the dialog answers; `token` is that of the page."""
    page = await client.get("/")
    token = re.search(r'name="csrf_token" value="([^"]*)"', page.text)
    assert token is not None
    fields = {"csrf_token": token[1], **form}
    return await client.post("/instances-control", data=fields)


def _end(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    last: dict[str, Any] = json.loads(response.text.splitlines()[-1])
    assert last["is_end"]
    return last


async def test_pages_follow_one_another_and_miss_none(
    client: httpx.AsyncClient,
) -> None:
    address: str | None = "/?workflow=parked"
    seen: list[str] = []
    while address is not None:
        text = (await client.get(address)).text
        seen += _ids(text)
        address = _next_page(text)
    assert len(seen) == len(set(seen)) == MANY + 1


async def test_a_filter_stands_in_the_address(client: httpx.AsyncClient) -> None:
    async def ids(**criteria: str) -> list[str]:
        response = await client.get(f"/?{urlencode(criteria)}")
        assert response.status_code == 200
        return _ids(response.text)

    assert sorted(await ids(q="p-00")) == [f"p-{number:03}" for number in range(10)]
    assert len(await ids(attributes="customer=42", q="p-11")) == 10
    assert await ids(status="completed") == []
    assert await ids(waiting_for="signal:stop") == []
    assert len(await ids(waiting_for="signal:go")) == 50
    assert await ids(until="1h") == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=dancing", "expected a status of"),
        ("since=yesterday", "expected a time such as"),
        ("by=luck", "expected by of"),
        ("attributes=customer", "expected attributes such as"),
        ("waiting_for=godot", "expected to wait for one of"),
        ("token=next", "expected the token of a page"),
        (f"q={'x' * 3_000}", "expected at most 2000 characters of q"),
    ],
)
async def test_a_wrong_criterion_is_told_where_it_was_typed(
    client: httpx.AsyncClient, query: str, expected: str
) -> None:
    response = await client.get(f"/?{query}")
    assert response.status_code == 400
    assert expected in unescape(response.text)


async def test_an_odd_id_is_shown_with_escapes_and_meant_as_it_is(
    client: httpx.AsyncClient,
) -> None:
    text = (await client.get("/?q=c%22d")).text
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert f"/instances/{quote(ODD_ID, safe='')}" in unescape(text)
    [mark] = _ids(text)

    end = _end(await _act(client, name="cancel", ids=[mark], reason="odd"))
    assert (end["done"], end["failed"]) == (1, 0)
    assert _ids((await client.get("/?status=cancelled")).text) == [mark]

    [error] = _end(await _act(client, name="retry", ids=[mark], reason="x"))["errors"]
    assert error["instance_id"].isprintable()
    assert error["error"].isprintable()
    assert error["address"] == f"/instances/{mark}"


async def test_a_command_for_all_that_match_counts_first(
    client: httpx.AsyncClient,
) -> None:
    query = urlencode({"q": "p-00"})
    counted = await client.get(f"/parts/control-count?name=pause&{query}")
    assert counted.json() == {"count": 10}
    end = _end(await _act(client, name="pause", query=query, reason="the month ends"))
    assert (end["done"], end["total"], end["errors"]) == (10, 10, [])
    counted = await client.get(f"/parts/control-count?name=pause&{query}")
    assert counted.json() == {"count": 0}
    text = (await client.get("/?status=paused")).text
    assert "paused for: the month ends" in text


async def test_what_is_refused_comes_back_by_id(client: httpx.AsyncClient) -> None:
    end = _end(await _act(client, name="retry", ids=["p-000", "nobody"], reason="x"))
    assert (end["done"], end["failed"]) == (0, 2)
    errors = {one["instance_id"]: one["error"] for one in end["errors"]}
    assert "expected a failed instance" in errors["p-000"]
    assert "nobody" in errors["nobody"]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"name": "explode"}, "expected one of retry"),
        ({"name": "signal"}, "expected the name of a signal"),
        ({"name": "signal", "signal": "go", "payload": "{"}, "expected"),
        ({"name": "pause", "query": "since=yesterday"}, "expected a time"),
    ],
)
async def test_a_wrong_command_does_nothing(
    client: httpx.AsyncClient, form: dict[str, str], expected: str
) -> None:
    response = await _act(client, **form)
    assert 400 <= response.status_code < 500
    assert expected in response.text
    counted = await client.get("/parts/control-count?name=pause")
    assert counted.json() == {"count": MANY + 1}


async def test_a_form_without_its_token_does_nothing(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/instances-control", data={"name": "cancel", "reason": "x"}
    )
    assert response.status_code == 403


async def test_a_wrong_start_says_what_was_expected_at_each_field(
    client: httpx.AsyncClient,
) -> None:
    page = await client.get("/start")
    token = re.search(r'name="csrf_token" value="([^"]*)"', page.text)
    assert token is not None
    form = {
        "csrf_token": token[1],
        "workflow": "parked",
        "instance_id": "x" * 300,
        "value": '{"a": 1',
        "attributes": "nothing",
    }
    response = await client.post("/start", data=form)
    assert response.status_code == 422
    text = unescape(response.text)
    assert '{"a": 1' in text
    assert "expected attributes such as" in text
    assert text.count('aria-invalid="true"') == 3

    form |= {"instance_id": "by-hand", "value": "", "attributes": "a=1"}
    response = await client.post("/start", data=form)
    assert (response.status_code, response.headers["location"]) == (
        303,
        "/instances/by-hand",
    )
    again = await client.post("/start", data=form)
    assert again.status_code == 422
    assert "by-hand" in again.text
