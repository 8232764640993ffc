"""Templates as HTML: all values are escaped, and a name that lacks is an error.

A value may come from a user or from the log: besides what HTML escapes, what is not
printable (control characters, marks that turn the direction of text) is shown as an
escape. `layout.html` says how a page uses the frame.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.templating import Jinja2Templates

from sayiir_es.core.instants import instant
from sayiir_es.telemetry import escaped
from sayiir_es.web.pages.flash_messages import forget_flashes, read_flashes
from sayiir_es.web.security.access import NOBODY
from sayiir_es.web.security.login_cookie import COOKIE

if TYPE_CHECKING:
    from fastapi import Request, Response

PAGES = (
    ("/", "Instances", "i"),
    ("/workflows", "Workflows", "w"),
    ("/partitions", "Partitions", "p"),
    ("/workers", "Workers", ""),
    ("/limits", "Limits", ""),
    ("/dead-letters", "Dead letters", "d"),
    ("/topics", "Topics", ""),
    ("/import", "Import", ""),
)
"""Address, name, and the key that goes there after a `g`."""


def printable(value: object) -> object:
    """What a template prints: text with escapes for what is not printable."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    if value.isprintable():
        return value
    return "\n".join(escaped(line.expandtabs(4)) for line in value.split("\n"))


def typed(value: str) -> Markup:
    """What somebody typed into a field, for that field: nothing is made visible."""
    return escape(value)


INSTANT = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_NAMED = re.compile(r"`([^`\n]{1,200})`")


def timed(text: str) -> Markup:
    """A sentence of ours whose times are shown as all others: local, or UTC."""
    made, at = Markup(), 0
    for match in INSTANT.finditer(text):
        time = Markup('<time datetime="{0}">{0}</time>').format(match[0])
        made += escape(printable(text[at : match.start()])) + time
        at = match.end()
    return made + escape(printable(text[at:]))


def prose(text: str) -> Markup:
    """A sentence of ours, in which names stand between backticks: these are code."""
    made, at = Markup(), 0
    for match in _NAMED.finditer(text):
        made += escape(printable(text[at : match.start()]))
        made += Markup("<code>{}</code>").format(printable(match[1]))
        at = match.end()
    return made + escape(printable(text[at:]))


def is_current(path: str, address: str) -> bool:
    """Whether the page at `path` is the one, or below the one, of a link."""
    if address == "/":
        return path == "/" or path.startswith("/instances")
    return path == address or path.startswith(f"{address}/")


def words(name: str) -> str:
    """A status or kind as words: `awaiting_signal` is "awaiting signal"."""
    return name.replace("_", " ")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=printable,
    )
    environment.filters.update(
        iso=instant, timed=timed, typed=typed, words=words, prose=prose
    )
    names: dict[str, Any] = environment.globals
    names.update(PAGES=PAGES, is_current=is_current)
    return environment


TEMPLATES = Jinja2Templates(env=_environment())


def page(
    request: Request, template: str, *, status_code: int = 200, **values: object
) -> Response:
    """A page, or a part of one, made by a template of `pages/templates/`.

    Every template has `csrf_token`, for its forms, `may_act`: whether who looks may do
    more than look, and `is_logged_in`: whether there is something to log out of. A page
    shows what an answer before it left to be told (`flash_messages.flash`).
    """
    caller = request.state.caller
    is_whole = request.headers.get("hx-request") != "true"
    flashes = read_flashes(request) if is_whole else ()
    context = {
        "csrf_token": getattr(request.state, "csrf_token", ""),
        "may_act": caller.may_act,
        "is_logged_in": COOKIE in request.cookies and caller is not NOBODY,
        "flashes": flashes,
        **values,
    }
    response = TEMPLATES.TemplateResponse(
        request, template, context, status_code=status_code
    )
    if flashes:
        forget_flashes(response)
    return response
