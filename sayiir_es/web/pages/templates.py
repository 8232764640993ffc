"""Templates as HTML: all values are escaped, and a name that lacks is an error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.templating import Jinja2Templates

if TYPE_CHECKING:
    from fastapi import Request, Response

TEMPLATES = Jinja2Templates(
    env=Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
)


def page(
    request: Request, template: str, *, status_code: int = 200, **values: object
) -> Response:
    """A page, or a part of one, made by a template of `pages/templates/`.

    Every template has `csrf_token`, for its forms, and `may_act`: whether who looks may
    do more than look.
    """
    context = {
        "csrf_token": getattr(request.state, "csrf_token", ""),
        "may_act": request.state.caller.may_act,
        **values,
    }
    return TEMPLATES.TemplateResponse(
        request, template, context, status_code=status_code
    )
