"""All routes of the REST API."""

from __future__ import annotations

from fastapi import APIRouter

from sayiir_es.web.api import bulk, control, history, instances, limits, workflows

router = APIRouter(prefix="/api/v1")
for part in (instances, control, history, bulk, limits, workflows):
    router.include_router(part.router)
