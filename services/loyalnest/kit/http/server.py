"""The HTTP server of a process: uvicorn, started and drained by the runtime instead of by signals."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.http.protocol import LimitedProtocol


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the runtime listens for signals


class HttpServer:
    """Serves one ASGI application on `host`:`port`; port 0 takes a free one."""

    def __init__(self, app: ASGIApp, host: str, port: int, drain_seconds: float) -> None:
        self._host, self._port = host, port
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            loop="none",
            http=LimitedProtocol,
            ws="none",
            lifespan="off",
            proxy_headers=False,  # anyone can write an address into them; links are made from the public URL
            timeout_graceful_shutdown=max(1, round(drain_seconds)),
            timeout_keep_alive=75,
            server_header=False,
            backlog=2048,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen and return the port. Raises InvalidInput if it is taken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, self._port))
        except OSError as error:
            listener.close()
            raise InvalidInput(
                f"HTTP cannot listen on {self._host}:{self._port} ({error.strerror}): choose another port."
            ) from error
        listener.listen(2048)
        listener.setblocking(False)
        port: int = listener.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        while not self._server.started:
            await asyncio.sleep(0.01)
            if self._task.done():
                self._task.result()
        return port

    async def drain(self) -> None:
        """Take no new connections, finish the requests under way, then return. Safe to repeat."""
        if self._task is None:
            return
        self._server.should_exit = True
        task, self._task = self._task, None
        await task
