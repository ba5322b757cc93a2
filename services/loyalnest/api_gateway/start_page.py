"""The start page at `/`, its files, and `GET /status`. Nothing here tells of a merchant without a token."""

import hashlib
import time
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from loyalnest import __version__
from loyalnest.api_gateway.edge import PAGE_POLICY
from loyalnest.kit.environment import Environment

_TYPES: Final = {
    "index.html": "text/html; charset=utf-8",
    "start.css": "text/css; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


class ServiceStatus(BaseModel):
    name: str
    summary: str
    here: bool = Field(description="Whether it runs in the process that answered.")


class StatusView(BaseModel):
    version: str
    bus: str = Field(description="Where events are kept: postgres or kafka.")
    uptime_seconds: int
    services: list[ServiceStatus]


def routes(environment: Environment) -> APIRouter:
    """The router of `/`, `/static/…` and `/status`."""
    router = APIRouter(tags=["status"])
    started = time.monotonic()

    @router.get("/status", summary="Version, and which services run where")
    async def status() -> StatusView:
        return StatusView(
            version=__version__,
            bus=environment.settings.bus,
            uptime_seconds=int(time.monotonic() - started),
            services=[
                ServiceStatus(name=each.name, summary=each.summary, here=each.name in environment.running)
                for each in sorted(environment.services.values(), key=lambda service: service.name)
            ],
        )

    for name, media_type in _TYPES.items():
        _add_file(router, "/" if name == "index.html" else f"/static/{name}", name, media_type)
    return router


def _add_file(router: APIRouter, path: str, name: str, media_type: str) -> None:
    """Serve a file of the package from memory."""
    content = (files("loyalnest.api_gateway") / "static" / name).read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Content-Security-Policy": PAGE_POLICY}

    @router.get(path, include_in_schema=False)
    async def file(request: Request) -> Response:
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)
