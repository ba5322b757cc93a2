"""Reads a request's raw body: never more than a limit, never for longer than a limit."""

import asyncio

import grpc
from starlette.requests import Request
from starlette.types import Receive, Scope

from loyalnest.kit.errors import InvalidInput, LoyalNestError, TooLarge


class SlowBody(LoyalNestError):
    """The body did not come in time."""

    status, grpc_status = 408, grpc.StatusCode.DEADLINE_EXCEEDED
    slug, title = "slow-body", "The request took too long to arrive"


class ClientGone(Exception):
    """The client went away before its body was complete. There is nobody to answer."""


async def read_body(scope: Scope, receive: Receive, limit: int, seconds: float) -> bytes:
    """The whole body of the request.

    Raises TooLarge at the first sign of more than `limit` bytes (without reading on), SlowBody after `seconds`,
    InvalidInput for a Content-Length that is none, ClientGone.
    """
    for name, value in scope["headers"]:
        if name == b"content-length":
            if not value.isdigit():
                raise InvalidInput("Content-Length must be a whole number of bytes.")
            if len(value) > 15 or int(value) > limit:
                raise _too_large(limit)
    try:
        async with asyncio.timeout(seconds):
            return await _read(receive, limit)
    except TimeoutError:
        raise SlowBody(f"The body was not complete after {seconds:g} seconds; send it again.") from None


async def body_of(request: Request, limit: int) -> bytes:
    """The body of a route's request, read no further than `limit` bytes. Raises TooLarge beyond."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"The body is larger than the {limit} bytes that are taken.")
    return bytes(body)


async def _read(receive: Receive, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return b"".join((*chunks, chunk)) if chunks else chunk
        if chunk:
            chunks.append(chunk)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"At most {limit} bytes are accepted.")
