"""What the routes of one web application use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

if TYPE_CHECKING:
    from sayiir_es.aio import WorkflowClient
    from sayiir_es.client.backends import Backend


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A backend, and the client of it that all requests share."""

    backend: Backend
    client: WorkflowClient


def site_of(request: Request) -> Site:
    """The site whose application a request came to."""
    site = request.app.state.site
    assert isinstance(site, Site)
    return site


SiteOfRequest = Annotated[Site, Depends(site_of)]
"""A parameter of a route."""
