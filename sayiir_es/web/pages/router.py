"""All routes of the pages; each page is a module that has a router of its own."""

from __future__ import annotations

from fastapi import APIRouter

from sayiir_es.web.pages import live_page

router = APIRouter(include_in_schema=False)
router.include_router(live_page.router)
