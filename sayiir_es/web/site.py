"""What the routes of one web application use."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from sayiir_es.operations.history_cache import HistoryCache
from sayiir_es.web.imports import Imports
from sayiir_es.web.live import LiveEvents
from sayiir_es.web.shared_answers import SharedAnswers

if TYPE_CHECKING:
    from sayiir_es.aio import WorkflowClient
    from sayiir_es.client.backends import Backend
    from sayiir_es.client.session import Session
    from sayiir_es.web.masking import Masking
    from sayiir_es.web.security.tokens import Caller


class Site:
    """A backend, and the client of it that all requests share.

    Attributes:
        masking: What pages and API hide of payloads and errors; every value that a user
            wrote goes through it.
        ending: Is set when the process ends; what streams to a browser ends then, too.
        trace_url: Where a trace is looked at, with `{trace_id}` in it; empty: nowhere.
    """

    def __init__(
        self,
        *,
        backend: Backend,
        client: WorkflowClient,
        masking: Masking,
        ending: asyncio.Event | None = None,
        trace_url: str = "",
    ) -> None:
        self.backend = backend
        self.client = client
        self.masking = masking
        self.ending = ending or asyncio.Event()
        self.live = LiveEvents(lambda: self.session)
        self.answers = SharedAnswers()
        self.trace_url = trace_url
        self.histories = HistoryCache()
        self.imports = Imports()

    @property
    def session(self) -> Session:
        """The client's session on the running event loop."""
        # Pages and API ask what the public client has no call for.
        return self.client._get_session()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def site_of(request: Request) -> Site:
    """The site whose application a request came to."""
    site = request.app.state.site
    assert isinstance(site, Site)
    return site


SiteOfRequest = Annotated[Site, Depends(site_of)]
"""A parameter of a route."""


def caller_of(request: Request) -> Caller:
    """Who sent a request; it was checked that it may."""
    caller: Caller = request.state.caller
    return caller


CallerOfRequest = Annotated["Caller", Depends(caller_of)]
"""A parameter of a route."""
