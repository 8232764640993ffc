"""`/errors/CODE`: what a code means, and what to do; where problems point to."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from markdown_it import MarkdownIt
from markupsafe import Markup

from sayiir_es.core.model.errors import NotFoundError
from sayiir_es.operations.error_codes import error_codes, error_page, without_links
from sayiir_es.web.pages.templates import page

router = APIRouter(include_in_schema=False)


@router.get("/errors/{code}")
async def show_error(request: Request, code: str) -> Response:
    """The page of an error code."""
    if code not in error_codes():
        raise NotFoundError(f"expected an error code, but {code!r:.100}")
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    text = Markup(markdown.render(without_links(error_page(code))))  # noqa: S704 (ours)
    return page(request, "error_page.html", code=code, text=text)
