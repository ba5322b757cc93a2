"""The HTTP server's own limits, over a real socket."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from fastapi import FastAPI, Request

from loyalnest.kit.http import problems, protocol
from loyalnest.kit.http.server import HttpServer


@pytest.fixture
async def port() -> AsyncIterator[int]:
    app = FastAPI()
    problems.install(app)

    @app.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    @app.get("/thing")
    async def read() -> str:
        return "read"

    @app.put("/thing")
    async def write() -> str:
        return "written"

    server = HttpServer(app, "127.0.0.1", 0, 1)
    yield await server.start()
    await server.drain()


async def exchange(port: int, *pieces: bytes, pause: float = 0.02) -> bytes:
    """Send `pieces` and read until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(pause)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


def problem_in(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    document = msgspec.json.decode(body)
    assert head.startswith(f"HTTP/1.1 {document['status']} ".encode())
    return document["status"], document["type"].rpartition(":")[2]


async def test_bytes_that_are_not_http(port: int) -> None:
    assert problem_in(await exchange(port, b"\x16\x03\x01 hello\r\n\r\n")) == (400, "malformed-http")


async def test_a_header_without_end(port: int) -> None:
    pieces = [b"GET /thing HTTP/1.1\r\nX: ", *[b"x" * 8192] * 4]
    assert problem_in(await exchange(port, *pieces)) == (431, "headers-too-large")


async def test_a_url_that_is_too_long(port: int) -> None:
    request = b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    assert problem_in(await exchange(port, request)) == (414, "url-too-long")


async def test_too_many_headers(port: int) -> None:
    headers = b"".join(b"X-%d: y\r\n" % number for number in range(101))
    assert problem_in(await exchange(port, b"GET /thing HTTP/1.1\r\n" + headers + b"\r\n")) == (
        431,
        "headers-too-large",
    )


async def test_a_head_that_drips(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    assert problem_in(await exchange(port, b"GET /thing HTTP/1.1\r\nX: ")) == (408, "slow-request")


async def test_a_connection_that_says_nothing(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    assert await exchange(port) == b""


async def test_limits_count_for_each_request_of_a_connection(port: int) -> None:
    one = b"POST /length HTTP/1.1\r\nContent-Length: 60000\r\nX: " + b"x" * 20_000 + b"\r\n\r\n" + b"y" * 60_000
    last = b"GET /thing HTTP/1.1\r\nConnection: close\r\n\r\n"
    answer = await exchange(port, one, one, one, last)
    assert answer.count(b"HTTP/1.1 200 OK") == 4
    assert answer.count(b"60000") == 3


async def test_a_body_that_breaks_off_in_its_framing(port: int) -> None:
    request = b"POST /length HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nnonsense\r\n"
    assert b"200 OK" not in await exchange(port, request)


async def test_all_methods_of_a_path_are_named(port: int) -> None:
    answer = await exchange(port, b"PATCH /thing HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert problem_in(answer)[0] == 405
    assert b"allow: get, put\r\n" in answer.lower()
