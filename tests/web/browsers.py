"""Clients of an application in this process, as browsers and programs are."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx

from sayiir_es import InMemoryBackend
from sayiir_es.web.app import create_app

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from fastapi import FastAPI

    from sayiir_es.client.backends import Backend
    from sayiir_es.web.settings import WebSettings

ADDRESS = "http://127.0.0.1:8080"


@asynccontextmanager
async def serving(
    settings: WebSettings | None = None, backend: Backend | None = None
) -> AsyncGenerator[FastAPI]:
    """An application, from its begin to its end."""
    with backend or InMemoryBackend() as opened:
        app = create_app(opened, settings)
        async with app.router.lifespan_context(app):
            yield app


def browser(
    app: FastAPI, *, peer: str = "127.0.0.1", **options: Any
) -> httpx.AsyncClient:
    """A client that keeps cookies; `peer` is the address that it comes from."""
    transport = httpx.ASGITransport(
        app, raise_app_exceptions=False, client=(peer, 50_000)
    )
    options.setdefault("base_url", ADDRESS)
    return httpx.AsyncClient(transport=transport, **options)
