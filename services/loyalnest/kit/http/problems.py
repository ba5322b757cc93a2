"""Errors as RFC 9457 problem details (`application/problem+json`)."""

import math
from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from loyalnest.kit.database import OUTAGES
from loyalnest.kit.errors import LoyalNestError, RateLimited, Unauthenticated, Unavailable

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
MOST_ERRORS = 50
"""A document tells of so many wrong fields; a hostile body could have a million."""

_TYPES = "urn:loyalnest:problem:"
_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "Identifies the kind of problem; stable."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong here, and what to do."},
        "errors": {
            "type": "array",
            "description": "Fields that are wrong.",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "reason": {"type": "string"}},
            },
        },
    },
}
"""JSON schema of a problem document, for OpenAPI."""


def problem(status: int, slug: str, title: str, detail: str, **more: Any) -> JSONResponse:
    """A problem document as a response."""
    content = {"type": _TYPES + slug, "title": title, "status": status, "detail": _encodable(detail), **more}
    return JSONResponse(content, status_code=status, media_type=MEDIA_TYPE)


def problem_of(error: LoyalNestError) -> JSONResponse:
    """The problem document of an error with words for the caller."""
    response = problem(error.status, error.slug, error.title, error.detail)
    if isinstance(error, RateLimited):
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, Unauthenticated):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem document that shows no internals."""

    @app.exception_handler(LoyalNestError)
    async def _ours(_request: Request, error: LoyalNestError) -> JSONResponse:
        return problem_of(error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [
            {
                "field": _encodable(".".join(str(part) for part in each["loc"]))[:200],
                "reason": _encodable(str(each["msg"])),
            }
            for each in error.errors()[:MOST_ERRORS]
        ]
        detail = "; ".join(f"{each['field']}: {each['reason']}" for each in errors)
        return problem(422, "invalid-input", "The request is not valid", detail[:1000], errors=errors)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        response = problem(error.status_code, "http", _title(error.status_code), str(error.detail))
        headers: Mapping[str, str] = error.headers or {}
        response.headers.update(headers)
        if error.status_code == 405:
            response.headers["Allow"] = ", ".join(_allowed(app, request.scope))
        return response

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, OUTAGES):
            return problem_of(Unavailable("Something LoyalNest needs is away; try again shortly."))
        log.error("http.unexpected", path=request.url.path, exc_info=error)
        return problem(500, "internal", "Internal error", "Something went wrong on our side; it has been logged.")


def _allowed(app: FastAPI, scope: Scope) -> list[str]:
    """The methods of the path that was asked for. The framework names those of the first route that has it."""
    return [
        method
        for method in _METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in app.router.routes)
    ]


def _encodable(text: str) -> str:
    """`text` without lone surrogates, which JSON input can smuggle in and UTF-8 output cannot hold."""
    return text.encode("utf-8", "replace").decode()


def _title(status: int) -> str:
    titles = {
        400: "The request is not valid",
        404: "Not found",
        405: "Method not allowed",
        413: "The request is too large",
    }
    return titles.get(status, "The request was refused")
