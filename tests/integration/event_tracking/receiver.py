"""A merchant's server for webhooks, on loopback: it checks signatures by the specification, with faults to order."""

import asyncio
import base64
import hashlib
import hmac
import ssl
from collections import deque
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web


@dataclass
class Got:
    """A request. signatures: as given, without the version."""

    id: str
    timestamp: str
    signatures: list[str]
    body: bytes
    host: str

    @property
    def json(self) -> dict[str, Any]:
        return msgspec.json.decode(self.body, type=dict[str, Any])

    def signed_with(self, secret: str) -> bool:
        """Whether one of its signatures is the one that `secret` gives."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.id}.{self.timestamp}.".encode() + self.body
        return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() in self.signatures


class Receiver:
    """answers: statuses of the next requests, then 200. 0 closes the connection, -1 does not answer until `release`."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.answers: deque[int] = deque()
        self.headers: dict[str, str] = {}
        self.port = 0
        self.scheme = "http"
        self.release = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}/hooks?shop=1"

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        self.scheme = "https" if tls else "http"
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        assert self._runner is not None
        self.release.set()
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.StreamResponse:
        assert (request.method, request.path_qs) == ("POST", "/hooks?shop=1")
        assert request.headers["Content-Type"] == "application/json"
        versions, signatures = zip(
            *(each.split(",", 1) for each in request.headers["webhook-signature"].split(" ")), strict=True
        )
        assert set(versions) == {"v1"}
        self.got.append(
            Got(
                request.headers["webhook-id"],
                request.headers["webhook-timestamp"],
                list(signatures),
                await request.read(),
                request.headers["Host"],
            )
        )
        status = self.answers.popleft() if self.answers else 200
        if status < 0:
            await self.release.wait()
        if status <= 0:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return web.Response(status=status, headers=self.headers)
