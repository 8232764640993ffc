"""What every request passes: host, origin, token, body; and what each response has."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest
from fastapi import APIRouter

from sayiir_es.core.model.errors import SettingsError, UsageError
from sayiir_es.web.security.access import check_binding
from sayiir_es.web.security.bodies import BODY_BYTES_MAX
from sayiir_es.web.security.login_cookie import COOKIE, VALID_S, login_cookie
from sayiir_es.web.security.tokens import TokenFile
from sayiir_es.web.settings import WebSettings
from tests.captured_logs import capture_logs
from tests.web.browsers import browser, serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from fastapi import FastAPI

ACT = "act-0123456789abcdef"
LOOK = "look-0123456789abcdef"
LOOKED_AT = "/openapi.json"
ACTED_ON = "/api/v1/probe"

probe = APIRouter()


@probe.post(ACTED_ON)
async def act(value: dict[str, object]) -> dict[str, object]:
    """Act."""
    return value


@probe.get("/api/v1/broken")
async def broken() -> None:
    """Fail as nobody foresaw."""
    raise ZeroDivisionError("a secret of ours")


@pytest.fixture
def tokens(tmp_path: Path) -> WebSettings:
    (tmp_path / "act").write_text(f"# of the team\nana {ACT}\n\n")
    (tmp_path / "look").write_text(f"{LOOK}\n")
    return WebSettings(
        token_file=tmp_path / "act",
        read_token_file=tmp_path / "look",
        hosts=("flows.example.com", "*.inside.example.com"),
    )


@pytest.fixture
async def app() -> AsyncGenerator[FastAPI]:
    async with serving() as app:
        app.include_router(probe)
        yield app


@pytest.fixture
async def guarded(tokens: WebSettings) -> AsyncGenerator[FastAPI]:
    async with serving(tokens) as app:
        app.include_router(probe)
        yield app


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


# --- host and origin ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", 200),
        ("localhost", 200),
        ("[::1]:8080", 200),
        ("10.1.2.3", 200),
        ("flows.example.com", 200),
        ("FLOWS.example.com.", 200),
        ("a.inside.example.com", 200),
        ("inside.example.com", 403),
        ("evil.example.com", 403),
        ("localhost.evil.example.com", 403),
        ("127.0.0.1.evil.example.com", 403),
        ("localhost@evil.example.com", 403),
        ("localhost:port", 403),
        ("localhost/static/", 403),
        ("localhost?", 403),
        ("localhost#", 403),
        ("local\thost", 403),
        ("localhost\\static", 403),
        ("", 403),
    ],
)
async def test_a_request_comes_by_a_name_of_this_server(
    tokens: WebSettings, host: str, status: int
) -> None:
    async with serving(tokens) as app, browser(app) as client:
        response = await client.get(LOOKED_AT, headers={"host": host, **_bearer(LOOK)})
        assert response.status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1:8080"}, 200),
        ({"origin": "https://127.0.0.1:8080"}, 200),  # encrypted by a proxy
        ({"origin": "http://127.0.0.1:9090"}, 403),
        ({"origin": "http://localhost:8080"}, 403),
        ({"origin": "http://evil.example.com"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "javascript:alert(1)"}, 403),
        ({"origin": "http://["}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
    ],
)
async def test_only_a_page_of_ours_or_no_page_acts(
    app: FastAPI, headers: dict[str, str], status: int
) -> None:
    async with browser(app) as client:
        response = await client.post(ACTED_ON, json={}, headers=headers)
        assert response.status_code == status
        assert (await client.get(LOOKED_AT, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 200),
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, 200),
    ],
)
async def test_a_page_elsewhere_links_here_and_loads_nothing(
    app: FastAPI, headers: dict[str, str], status: int
) -> None:
    async with browser(app) as client:
        assert (await client.get(LOOKED_AT, headers=headers)).status_code == status


@pytest.mark.parametrize(
    ("said", "is_secure"),
    [("https", True), ("HTTPS, http", True), ("http", False), ("http, https", False)],
)
async def test_cookies_are_for_https_alone_where_the_browser_speaks_it(
    guarded: FastAPI,
    said: str,
    is_secure: bool,  # noqa: FBT001 (of the table)
) -> None:
    async with browser(guarded, headers={"x-forwarded-proto": said}) as client:
        shown = await client.get("/login")
        (cookie,) = shown.headers.get_list("set-cookie")
        assert "HttpOnly" in cookie
        assert ("; Secure" in cookie) == is_secure


async def test_every_cookie_of_an_encrypted_page_is_secure(guarded: FastAPI) -> None:
    address = "https://flows.example.com"
    async with browser(guarded, headers=HTML, base_url=address) as client:
        shown = await client.get("/login")
        form = {"csrf_token": _csrf_of(shown.text), "token": ACT}
        entered = await client.post("/login", data=form)
        told = await client.post("/dead-letters/0@0/drop", data=form)
        left = await client.post("/logout", data=form)
        for response in (shown, entered, told, left):
            (cookie,) = response.headers.get_list("set-cookie")
            assert cookie.count("; Secure") == 1
            assert "HttpOnly" in cookie


async def test_behind_a_proxy_a_named_host_is_the_origin(tokens: WebSettings) -> None:
    async with serving(tokens) as app, browser(app) as client:
        app.include_router(probe)
        for origin, status in (
            ("https://flows.example.com", 200),
            ("https://other.example.com", 403),
        ):
            response = await client.post(
                ACTED_ON, json={}, headers={"origin": origin, **_bearer(ACT)}
            )
            assert response.status_code == status


# --- tokens ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "look", "act"),
    [
        (None, 401, 401),
        ("wrong-0123456789abcdef", 401, 401),
        (ACT[:-1], 401, 401),
        ("", 401, 401),
        ("ana", 401, 401),
        (LOOK, 200, 403),
        (ACT, 200, 200),
    ],
)
async def test_a_token_says_what_its_bearer_may(
    guarded: FastAPI, token: str | None, look: int, act: int
) -> None:
    headers = {} if token is None else _bearer(token)
    async with browser(guarded) as client:
        looked = await client.get(LOOKED_AT, headers=headers)
        acted = await client.post(ACTED_ON, json={}, headers=headers)
    assert (looked.status_code, acted.status_code) == (look, act)
    if look == 401:
        assert looked.headers["www-authenticate"] == "Bearer"
        assert looked.json()["code"] == "unauthorized"


async def test_a_token_that_is_taken_out_of_the_file_ends_at_once(
    guarded: FastAPI, tokens: WebSettings
) -> None:
    assert tokens.token_file is not None
    async with browser(guarded, headers=_bearer(ACT)) as client:
        assert (await client.get(LOOKED_AT)).status_code == 200
        tokens.token_file.write_text("another-0123456789abcdef\n")
        assert (await client.get(LOOKED_AT)).status_code == 401
        tokens.token_file.write_text(f"x {ACT}\n")
        assert (await client.get(LOOKED_AT)).status_code == 200
        tokens.token_file.unlink()
        assert (await client.get(LOOKED_AT)).status_code == 401


@pytest.mark.parametrize(
    "text", ["", "# none\n", "short\n", "a b 0123456789abcdef\n", "\xff\xfe"]
)
def test_a_file_without_a_usable_token_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError, match=r"SAYIIR_API_TOKEN_FILE|each line of"):
        TokenFile(path, "SAYIIR_API_TOKEN_FILE", may_act=True)


def test_a_file_that_is_not_there_is_named_with_its_variable(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="SAYIIR_API_READ_TOKEN_FILE"):
        TokenFile(tmp_path / "no", "SAYIIR_API_READ_TOKEN_FILE", may_act=False)


def test_others_reach_it_only_where_they_are_asked_who_they_are(
    tokens: WebSettings,
) -> None:
    for address in ("0.0.0.0", "::", "10.0.0.1"):  # noqa: S104 (compared)
        with pytest.raises(UsageError, match="SAYIIR_API_TOKEN_FILE"):
            check_binding(WebSettings(), address)
        check_binding(tokens, address)
        check_binding(WebSettings(proxy_header="x-forwarded-user"), address)
    for address in ("127.0.0.1", "::1", "127.8.8.8"):
        check_binding(WebSettings(), address)


# --- a proxy in front -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        ("10.1.0.1", {"x-forwarded-user": "ana"}, 200),
        ("10.1.0.1", {}, 401),
        ("10.1.0.1", {"x-forwarded-user": " "}, 401),
        ("10.2.0.1", {"x-forwarded-user": "ana"}, 401),
        ("127.0.0.1", {"x-forwarded-user": "ana"}, 401),
    ],
)
async def test_the_header_of_a_proxy_counts_from_its_addresses_alone(
    peer: str, headers: dict[str, str], status: int
) -> None:
    settings = WebSettings(
        proxy_header="X-Forwarded-User", proxy_networks=(ip_network("10.1.0.0/16"),)
    )
    async with serving(settings) as app, browser(app, peer=peer) as client:
        response = await client.get(LOOKED_AT, headers=headers)
        assert response.status_code == status


# --- a person with a browser ----------------------------------------------------------

HTML = {"accept": "text/html,*/*"}


def _csrf_of(page: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found is not None, page
    return found[1]


async def test_a_person_logs_in_with_a_token_and_goes_on(guarded: FastAPI) -> None:
    async with browser(guarded, headers=HTML) as client:
        response = await client.get("/topics?x=1")
        assert response.status_code == 303
        assert response.headers["location"] == "/login?next=%2Ftopics%3Fx%3D1"

        page = await client.get(response.headers["location"])
        form = {"csrf_token": _csrf_of(page.text), "next": "/topics?x=1"}
        wrong = await client.post("/login", data={**form, "token": "nonsense"})
        assert wrong.status_code == 401
        assert COOKIE not in client.cookies

        right = await client.post("/login", data={**form, "token": f" {LOOK}\n"})
        assert (right.status_code, right.headers["location"]) == (303, "/topics?x=1")
        cookie = right.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert LOOK not in cookie
        assert (await client.get(LOOKED_AT)).status_code == 200
        acted = await client.post(ACTED_ON, json={})
        assert acted.status_code == 403
        shown = await client.get("/errors/forbidden")
        assert "Log out" in shown.text
        form["csrf_token"] = _csrf_of(shown.text)

        assert (await client.post("/logout", data=form)).status_code == 303
        assert (await client.get(LOOKED_AT)).status_code == 401
        assert "Log out" not in (await client.get("/login")).text


@pytest.mark.parametrize(
    "address", ["//evil.example.com", "https://evil.example.com", "/\\evil", "/a\nb"]
)
async def test_a_login_leads_to_pages_of_ours_alone(
    guarded: FastAPI, address: str
) -> None:
    async with browser(guarded, headers=HTML) as client:
        page = await client.get("/login", params={"next": address})
        form = {"csrf_token": _csrf_of(page.text), "token": ACT, "next": address}
        response = await client.post("/login", data=form)
        assert response.headers["location"] == "/"


async def test_a_login_ends_after_a_day_and_with_its_token(guarded: FastAPI) -> None:
    late = login_cookie(ACT.encode(), now_s=1_000_000 - VALID_S)
    later = login_cookie(ACT.encode(), now_s=4_000_000_000)
    until, _, code = later.partition(".")
    for value in (
        late,
        f"{int(until) + 1}.{code}",
        f"{until}.",
        "x",
        "²." + code,
        login_cookie(b"unknown-0123456789", now_s=4_000_000_000),
    ):
        async with browser(guarded) as client:
            headers = {b"cookie": f"{COOKIE}={value}".encode()}
            response = await client.get(LOOKED_AT, headers=headers)
            assert response.status_code == 401, value
    async with browser(guarded, cookies={COOKIE: later}) as client:
        assert (await client.get(LOOKED_AT)).status_code == 200


async def test_a_form_without_the_token_of_its_page_is_refused(
    guarded: FastAPI,
) -> None:
    async with browser(guarded, headers=HTML) as client:
        token = _csrf_of((await client.get("/login")).text)
        form = {"token": ACT}
        for given in ({}, {"csrf_token": "x" * 43}, {"csrf_token": ""}):
            response = await client.post("/login", data={**form, **given})
            assert response.status_code == 403
        by_header = {"x-csrf-token": token}
        response = await client.post("/login", data=form, headers=by_header)
        assert response.status_code == 303
    async with browser(guarded, headers=HTML) as other:
        response = await other.post("/login", data={**form, "csrf_token": token})
        assert response.status_code == 403


# --- bodies and responses -------------------------------------------------------------


@pytest.mark.parametrize("is_told", [True, False])
async def test_a_body_has_a_limit_whether_its_length_is_told_or_not(
    app: FastAPI, *, is_told: bool
) -> None:
    body = b'{"a":"' + b"x" * BODY_BYTES_MAX + b'"}'

    async def pieces() -> AsyncGenerator[bytes]:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    async with browser(app) as client:
        response = await client.post(
            ACTED_ON,
            content=body if is_told else pieces(),
            headers={"content-type": "application/json"},
        )
    assert response.status_code == 413
    assert response.json()["code"] == "request_too_large"


async def test_every_response_forbids_what_a_page_does_not_need(app: FastAPI) -> None:
    async with browser(app) as client:
        responses = [
            await client.get("/login"),
            await client.get("/nothing"),
            await client.get("/static/pages.css"),
            await client.get("/login", headers={"host": "evil.example.com"}),
            await client.get("/api/v1/broken"),
        ]
    assert [one.status_code for one in responses] == [200, 404, 200, 403, 500]
    for response in responses:
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "same-origin"
        assert response.headers["cache-control"] in ("no-store", "no-cache")


async def test_an_error_that_nobody_foresaw_is_logged_and_not_told(
    app: FastAPI,
) -> None:
    with capture_logs() as lines:
        async with browser(app) as client:
            response = await client.get("/api/v1/broken")
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "internal"
    assert "secret of ours" not in response.text
    assert "ZeroDivisionError" not in response.text
    assert [line["event"] for line in lines] == ["request.failed"]


async def test_forms_with_files_are_checked_too(app: FastAPI) -> None:
    async with browser(app) as client:
        response = await client.post("/login", files={"token": ("a", b"b")})
        assert response.status_code == 403
