"""An API with a worker beside it, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sayiir_es import InMemoryBackend, aio
from tests.web.api.sample_flows import WORKFLOWS
from tests.web.browsers import ADDRESS, browser, serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import httpx
    from fastapi import FastAPI


@pytest.fixture
async def app() -> AsyncGenerator[FastAPI]:
    """The application."""
    backend = InMemoryBackend()
    async with aio.Worker("w", backend, WORKFLOWS), serving(backend=backend) as app:
        yield app


@pytest.fixture
async def api(app: FastAPI) -> AsyncGenerator[httpx.AsyncClient]:
    """A client whose addresses are those of the API."""
    async with browser(app, base_url=f"{ADDRESS}/api/v1") as client:
        yield client
