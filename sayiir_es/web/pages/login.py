"""`/login`: a person gives a token once, and a cookie brings it from then on."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from sayiir_es.web.pages.templates import page
from sayiir_es.web.security.access import Access
from sayiir_es.web.security.login_cookie import COOKIE, VALID_S

router = APIRouter(include_in_schema=False)

TOKEN_CHARACTERS_MAX = 4096
UNAUTHORIZED = 401


@router.get("/login")
async def show_login(request: Request, next: str = "/") -> Response:  # noqa: A002 (in the address)
    """The form that asks for a token."""
    return page(request, "login.html", next_page=page_of_ours(next), is_wrong=False)


@router.post("/login")
async def log_in(
    request: Request,
    token: Annotated[str, Form(max_length=TOKEN_CHARACTERS_MAX)] = "",
    next: Annotated[str, Form()] = "/",  # noqa: A002 (in the form)
) -> Response:
    """Go on to the page that was asked for, with the cookie."""
    access = request.app.state.access
    assert isinstance(access, Access)
    next_page = page_of_ours(next)
    cookie = access.log_in(token)
    if cookie is None:
        return page(
            request,
            "login.html",
            status_code=UNAUTHORIZED,
            next_page=next_page,
            is_wrong=True,
        )
    response = RedirectResponse(next_page, 303)
    response.set_cookie(
        COOKIE, cookie, max_age=VALID_S, httponly=True, samesite="strict"
    )
    return response


@router.post("/logout")
async def log_out() -> Response:
    """Forget who it was."""
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


def page_of_ours(address: str) -> str:
    """An address to go on to, if it is of this server; else the first page."""
    is_path = address.startswith("/") and not address.startswith(("//", "/\\"))
    is_plain = is_path and address.isprintable() and "\\" not in address
    return address if is_plain else "/"
