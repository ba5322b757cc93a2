"""uvicorn's HTTP protocol, with the limits that it leaves to a proxy in front: on the request's head, and its time."""

import asyncio
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from loyalnest.kit.http import problems

MAX_HEAD_BYTES: Final = 32 * 1024
"""Request line and headers together."""
MAX_URL_BYTES: Final = 8 * 1024
MAX_HEADERS: Final = 100
HEAD_SECONDS: Final = 15.0
"""How long a head may take from its first byte, and a new connection to send one."""
MAX_DISCARDED_BYTES: Final = 32 * 1024 * 1024
"""What is left of a body after its answer is read and thrown away up to here, so that the client sees the answer: twice
what any route takes."""


class _Refused(Exception):
    """Stops the parser: the protocol has its answer ready."""


class LimitedProtocol(HttpToolsProtocol):
    """Answers a head that is too large, too slow or malformed by itself, with a problem document, and hangs up."""

    _in_head = True
    _head_bytes = 0
    _discarded = 0
    _refusal: tuple[int, str, str] | None = None
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        began_in_head = self._in_head
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes = (self._head_bytes if began_in_head else 0) + len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, "headers-too-large", f"At most {MAX_HEAD_BYTES} bytes of headers are accepted.")
                self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = self._discarded = 0
        self._stop_timer()
        if len(self.url) > MAX_URL_BYTES:
            raise self._refuse(414, "url-too-long", f"At most {MAX_URL_BYTES} bytes of URL are accepted.")
        size = sum(len(name) + len(value) for name, value in self.headers)
        if size > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            detail = f"At most {MAX_HEADERS} headers of {MAX_HEAD_BYTES} bytes in all are accepted."
            raise self._refuse(431, "headers-too-large", detail)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        if self.cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > MAX_DISCARDED_BYTES:
                self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn for whatever stops its parser."""
        status, slug, detail = self._refusal or (400, "malformed-http", "This is not a valid HTTP request.")
        if self.cycle is not None and not self.cycle.response_complete:
            # Its answer may be half written, and after a broken body there is no next request on this connection.
            self.transport.close()
            return
        response = problems.problem(status, slug, HTTPStatus(status).phrase, detail)
        response.headers["Connection"] = "close"
        head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()]
        head += [name + b": " + value + b"\r\n" for name, value in response.raw_headers]
        self.transport.write(b"".join([*head, b"\r\n", bytes(response.body)]))
        self.transport.close()

    def _refuse(self, *refusal: Any) -> _Refused:
        self._refusal = refusal
        return _Refused()

    def _too_slow(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._head_bytes:
            self._refuse(408, "slow-request", "The request did not come in time.")
            self.send_400_response("")
        else:
            self.transport.close()  # nothing came, so there is nothing to answer

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
