"""The pages: the start page at `/` and its files below `/static/`. They tell nothing of a merchant without a token."""

import hashlib
from importlib.resources import files
from typing import Final

from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp

from loyalnest.kit.http import problems
from loyalnest.kit.http.edge import PAGE_POLICY, Edge

PATHS: Final = ("/", "/static/")
"""Where the pages are: see `loyalnest.kit.service.Service.paths`."""

_TYPES: Final = {
    "index.html": "text/html; charset=utf-8",
    "start.css": "text/css; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


def build_app() -> ASGIApp:
    """The application that serves the pages."""
    app = FastAPI(title="LoyalNest", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    problems.install(app)
    for name, media_type in _TYPES.items():
        _add_file(app, "/" if name == "index.html" else f"/static/{name}", name, media_type)
    return Edge(app, {})


def _add_file(app: FastAPI, path: str, name: str, media_type: str) -> None:
    """Serve a file of the package from memory."""
    content = (files("loyalnest.frontend") / "static" / name).read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Content-Security-Policy": PAGE_POLICY}

    @app.get(path, include_in_schema=False)
    async def file(request: Request) -> Response:
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)
