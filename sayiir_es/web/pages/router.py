"""All routes of the pages; each page is a module that has a router of its own."""

from __future__ import annotations

from fastapi import APIRouter

from sayiir_es.web.pages import (
    control_page,
    dead_letters_page,
    import_page,
    instance_page,
    instances_page,
    limits_page,
    live_page,
    partitions_page,
    start_page,
    topics_page,
    workflows_page,
)

router = APIRouter(include_in_schema=False)
for one in (
    live_page,
    partitions_page,
    limits_page,
    instances_page,
    control_page,
    start_page,
    workflows_page,
    dead_letters_page,
    topics_page,
    import_page,
    instance_page,
):
    router.include_router(one.router)
