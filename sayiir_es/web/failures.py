"""The response to a request that an error ended: a page for people, else a problem."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from sayiir_es.core.model.errors import (
    InvalidRequestError,
    UnauthorizedError,
    WorkflowError,
)
from sayiir_es.operations.text import visible
from sayiir_es.web.masking import Masking
from sayiir_es.web.pages.templates import page
from sayiir_es.web.problems import error_of_framework, problem_of, problem_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI, Request

    from sayiir_es.web.problems import Problem

VALIDATION_ERRORS_MAX = 20
"""How many places of a request are named that are not what they should be."""


def add_error_handlers(app: FastAPI) -> None:
    """Let the errors of routes become responses."""

    async def of_ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, WorkflowError)
        return respond(request, error)

    async def of_framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        problem = problem_of(error_of_framework(error), _masking_of(request))
        return _response(request, problem, error.headers)

    async def of_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return _response(request, _problem_of_validation(request, error))

    app.add_exception_handler(WorkflowError, of_ours)
    app.add_exception_handler(HTTPException, of_framework)
    app.add_exception_handler(RequestValidationError, of_validation)


def respond(request: Request, error: WorkflowError) -> Response:
    """The response to a request that one of our errors ended."""
    if isinstance(error, UnauthorizedError) and is_of_browser(request):
        access = request.app.state.access
        if access.takes_tokens and request.method == "GET":
            query = f"?{request.url.query}" if request.url.query else ""
            next_page = quote(f"{request.url.path}{query}", safe="")
            return RedirectResponse(f"/login?next={next_page}", 303)
    return _response(request, problem_of(error, _masking_of(request)))


def _masking_of(request: Request) -> Masking:
    masking = request.app.state.masking
    assert isinstance(masking, Masking)
    return masking


def is_of_browser(request: Request) -> bool:
    """Whether a person looks at the response."""
    is_page = not request.url.path.startswith(("/api/", "/openapi.json", "/metrics"))
    return is_page and "text/html" in request.headers.get("accept", "")


def _response(
    request: Request, problem: Problem, headers: Mapping[str, str] | None = None
) -> Response:
    if not is_of_browser(request):
        return problem_response(problem, headers)
    response = page(
        request, "problem.html", status_code=problem["status"], problem=problem
    )
    response.headers.update(headers or {})
    return response


def _problem_of_validation(request: Request, error: RequestValidationError) -> Problem:
    masking = _masking_of(request)
    kind = request.headers.get("content-type", "")
    is_announced = kind.partition(";")[0].strip().lower().endswith("json")
    if not is_announced and any(one["loc"] == ("body",) for one in error.errors()):
        return problem_of(
            InvalidRequestError(
                "expected a body with Content-Type: application/json, but it is "
                f"{kind!r:.100}"
            ),
            masking,
        )
    errors = [
        {
            "at": visible(masking.text(".".join(map(str, detail["loc"])))),
            "detail": visible(masking.text(_expectation(detail))),
        }
        for detail in error.errors()[:VALIDATION_ERRORS_MAX]
    ]
    said = "; ".join(f"{one['at']}: {one['detail']}" for one in errors)
    problem = problem_of(InvalidRequestError("expected another request"), masking)
    # Its parts are masked: `page_token: expected …` is no token with its value.
    problem["detail"] += f", but {said}"
    problem["errors"] = errors
    return problem


def _expectation(detail: Mapping[str, object]) -> str:
    context = detail.get("ctx")
    if isinstance(context, dict) and "error" in context:
        return str(cast("dict[str, object]", context)["error"])
    return str(detail["msg"])
