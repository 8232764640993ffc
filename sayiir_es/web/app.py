"""The web application: REST API, pages, and the files that the pages load."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from sayiir_es.aio import WorkflowClient
from sayiir_es.web.api.router import router as api_router
from sayiir_es.web.pages.router import router as pages_router
from sayiir_es.web.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sayiir_es.client.backends import Backend

STATIC = Path(__file__).parent / "static"


def create_app(backend: Backend) -> FastAPI:
    """An ASGI application in front of a backend; it keeps nothing between requests."""
    app = FastAPI(
        title="sayiir_es", docs_url=None, redoc_url=None, lifespan=_open_client
    )
    app.state.site = Site(backend=backend, client=WorkflowClient(backend))
    app.include_router(api_router)
    app.include_router(pages_router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app


@asynccontextmanager
async def _open_client(app: FastAPI) -> AsyncGenerator[None]:
    yield
    await app.state.site.live.close()
    await app.state.site.client.aclose()
