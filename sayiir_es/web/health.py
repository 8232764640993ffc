"""`/health/live` and `/health/ready`: 200 or 503, and why, as JSON.

Orchestrators ask without a token. Where others must bring one, whoever brings none is
told codes and partitions, and no messages: these hold names of files and of hosts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from sayiir_es.web.security.access import NOBODY
from sayiir_es.web.site import CallerOfRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sayiir_es.operations.worker_health import Health, Problem

UNAVAILABLE = 503


def health_router(
    live: Callable[[], Health], ready: Callable[[], Awaitable[Health]]
) -> APIRouter:
    """The two routes, for what says whether it lives and whether it is ready."""
    router = APIRouter(prefix="/health", tags=["health"])

    @router.get("/live", summary="Whether the event loop turns")
    async def is_live(caller: CallerOfRequest) -> JSONResponse:
        return _response(live(), "live", with_messages=caller is not NOBODY)

    @router.get("/ready", summary="Whether everything is served that is to be")
    async def is_ready(caller: CallerOfRequest) -> JSONResponse:
        return _response(await ready(), "ready", with_messages=caller is not NOBODY)

    return router


def _response(health: Health, word: str, *, with_messages: bool) -> JSONResponse:
    body: dict[str, object] = {
        "status": word if health.is_good else f"not {word}",
        "problems": [_shown(one, with_messages) for one in health.problems],
    }
    if health.notes:
        body["notes"] = list(health.notes)
    if health.assigned or health.served:
        body["partitions"] = {
            "assigned": list(health.assigned),
            "served": list(health.served),
        }
    return JSONResponse(body, 200 if health.is_good else UNAVAILABLE)


def _shown(problem: Problem, with_message: bool) -> dict[str, object]:  # noqa: FBT001
    shown: dict[str, object] = {"code": problem.code}
    if problem.partition is not None:
        shown["partition"] = problem.partition
    if with_message:
        shown["message"] = problem.message
    return shown
