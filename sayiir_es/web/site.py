"""What the routes of one web application use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from sayiir_es.web.live import LiveEvents

if TYPE_CHECKING:
    from sayiir_es.aio import WorkflowClient
    from sayiir_es.client.backends import Backend
    from sayiir_es.client.session import Session


class Site:
    """A backend, and the client of it that all requests share."""

    def __init__(self, *, backend: Backend, client: WorkflowClient) -> None:
        self.backend = backend
        self.client = client
        self.live = LiveEvents(lambda: self.session)

    @property
    def session(self) -> Session:
        """The client's session on the running event loop."""
        # The pages ask what the public client has no call for.
        return self.client._get_session()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def site_of(request: Request) -> Site:
    """The site whose application a request came to."""
    site = request.app.state.site
    assert isinstance(site, Site)
    return site


SiteOfRequest = Annotated[Site, Depends(site_of)]
"""A parameter of a route."""
