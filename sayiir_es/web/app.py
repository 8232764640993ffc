"""The web application: REST API, pages, and the files that the pages load."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI
from fastapi.staticfiles import StaticFiles

from sayiir_es.aio import WorkflowClient
from sayiir_es.operations.backend_probe import BackendProbe
from sayiir_es.operations.worker_health import Health
from sayiir_es.web.api.openapi import openapi_of
from sayiir_es.web.api.router import router as api_router
from sayiir_es.web.failures import add_error_handlers, respond
from sayiir_es.web.health import health_router
from sayiir_es.web.metrics import (
    HttpCounts,
    HttpMetrics,
    metrics_router,
    process_series,
)
from sayiir_es.web.pages.error_page import router as error_router
from sayiir_es.web.pages.login import router as login_router
from sayiir_es.web.pages.router import router as pages_router
from sayiir_es.web.security.access import Access
from sayiir_es.web.security.csrf import check_csrf
from sayiir_es.web.security.middleware import SecurityMiddleware
from sayiir_es.web.settings import WebSettings
from sayiir_es.web.site import Site
from sayiir_es.web.worker_answers import WorkerAnswers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sayiir_es.client.backends import Backend
    from sayiir_es.operations.worker_monitor import WorkerMonitor


class _Application(FastAPI):
    """Describes its API as we do."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return openapi_of(self)


STATIC = Path(__file__).parent / "static"


def create_app(
    backend: Backend,
    settings: WebSettings | None = None,
    *,
    ending: asyncio.Event | None = None,
    monitor: WorkerMonitor | None = None,
) -> FastAPI:
    """An ASGI application in front of a backend; it keeps nothing between requests.

    Args:
        backend: Whose instances it shows.
        settings: How it is reached, and what it hides; by default as for this machine
            alone.
        ending: Is set when the process ends: streams to browsers end then.
        monitor: What watches the worker of this process, if it runs one: health and
            metrics are this worker's then.

    Raises:
        SettingsError: if a file of tokens cannot be used.
    """
    settings = settings or WebSettings()
    access = Access(settings)
    app = _Application(
        title="sayiir_es",
        version=version("sayiir-es"),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_open_client,
    )
    app.state.site = Site(
        backend=backend,
        client=WorkflowClient(backend),
        masking=settings.masking,
        ending=ending,
        trace_url=settings.trace_url,
    )
    app.state.access = access
    app.state.masking = settings.masking
    counts = HttpCounts()
    _answer_for(app, counts, monitor)
    app.include_router(api_router)
    for router in (login_router, error_router, pages_router):
        app.include_router(router, dependencies=[Depends(check_csrf)])
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    add_error_handlers(app)
    app.add_middleware(SecurityMiddleware, access=access, respond=respond)
    app.add_middleware(HttpMetrics, counts=counts)
    return app


def _answer_for(
    app: FastAPI, counts: HttpCounts, monitor: WorkerMonitor | None
) -> None:
    """Add health and metrics: of the worker of this process, or of what serves."""
    if monitor is not None:
        answers = WorkerAnswers(monitor)
        app.include_router(health_router(answers.live, answers.ready))
        app.include_router(
            metrics_router(lambda: (*counts.series(), *answers.series(app.version)))
        )
        return
    probe = BackendProbe(lambda: app.state.site.session)
    app.include_router(health_router(Health, probe.ask))
    app.include_router(
        metrics_router(
            lambda: (
                *counts.series(),
                *process_series(app.version, is_ready=probe.last.is_good),
            )
        )
    )


@asynccontextmanager
async def _open_client(app: FastAPI) -> AsyncGenerator[None]:
    site = app.state.site
    watching = asyncio.create_task(_end_streams(site))
    yield
    watching.cancel()
    await site.live.close()
    await site.client.aclose()


async def _end_streams(site: Site) -> None:
    await site.ending.wait()
    site.live.end()
