"""What users wrote is masked in problems, too: by the rules, and by the hook."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sayiir_es.web.masking import DEFAULT_NAMES, HIDDEN, Masking
from sayiir_es.web.settings import WebSettings
from tests.web.browsers import browser, serving

if TYPE_CHECKING:
    import httpx


def hide_ana(_: tuple[str | int, ...], value: object) -> object:
    """A hook."""
    return value.replace("ana@", "…@") if isinstance(value, str) else value


SETTINGS = WebSettings(masking=Masking(names=DEFAULT_NAMES, hook=hide_ana))
ID = "card=4111 of ana@example.com"


async def ask(http: httpx.AsyncClient, kind: str) -> httpx.Response:
    """Requests that end with an error which repeats what they brought."""
    match kind:
        case "a refused command":
            return await http.post(f"/api/v1/instances/{ID}/cancel", json={})
        case "a criterion":
            return await http.get("/api/v1/instances", params={"since": ID})
        case "a field":
            return await http.post("/api/v1/bulk/cancel", json={"criteria": {ID: 1}})
        case _:
            return await http.get("/", params={"since": ID})


@pytest.mark.parametrize(
    "kind", ["a refused command", "a criterion", "a field", "a filter"]
)
async def test_problems_are_masked(kind: str) -> None:
    async with serving(SETTINGS) as app, browser(app) as http:
        response = await ask(http, kind)
    assert response.status_code >= 400
    assert HIDDEN in response.text
    assert "…@example.com" in response.text
    if kind != "a filter":  # its page has what was typed in a field, too
        assert "4111" not in response.text
        assert "ana@" not in response.text


async def test_the_name_of_a_field_of_ours_hides_nothing() -> None:
    async with serving() as app, browser(app) as http:
        response = await http.get("/api/v1/instances", params={"page_token": "x"})
    assert "page_token: expected the token of a page, but 'x'" in response.text
