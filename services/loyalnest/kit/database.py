"""PostgreSQL for one service: transactions under its two roles.

A request runs under the service's request role, which row-level security confines to the merchant that the
transaction was opened for. A batch consumer runs under its worker role, whose one statement serves many merchants.
Both see the service's own schema only.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from loyalnest.kit import metrics
from loyalnest.kit.errors import DeadlineExceeded, InvalidInput, Unavailable
from loyalnest.kit.roles import request_role, worker_role

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
else:  # asyncpg's classes take a parameter in the stubs only
    Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

IsolationLevel = Literal["read_committed", "repeatable_read"]

OUTAGES: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that ended in the middle of a statement
    asyncpg.TransactionRollbackError,  # deadlock, serialisation failure
    asyncpg.OperatorInterventionError,  # shutdown, crash recovery, cancelled by an administrator
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
    asyncpg.LockNotAvailableError,
    Unavailable,
    DeadlineExceeded,
)
"""What a retry can mend: a server is away or overloaded, or PostgreSQL chose this transaction to give way."""


CLOSE_SECONDS = 10.0

_LOCK_SESSION = {
    "application_name": "loyalnest locks",
    # The locks of a machine that lost its power are free after 25 s instead of two hours.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}

_after_commit: ContextVar[list[Callable[[], None]] | None] = ContextVar("loyalnest_after_commit", default=None)


def after_commit(callback: Callable[[], None]) -> None:
    """Call `callback` once the transaction that this task has open is committed; never if it is rolled back."""
    callbacks = _after_commit.get()
    if callbacks is None:
        raise RuntimeError("after_commit needs an open transaction of a Database")
    callbacks.append(callback)


async def _reset(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Spare the round trip of a reset on every release: transactions set nothing that outlives them."""
    if connection.is_in_transaction():
        await connection.reset()


@dataclass(frozen=True, slots=True)
class PoolUsage:
    """Connections of a process: in use, open and idle, and how many there may be."""

    used: int
    idle: int
    limit: int


class Pools:
    """Connection pools of one process, one per address, shared by the services that live there."""

    def __init__(self, connections: int) -> None:
        self._connections = connections
        self._pools: dict[str, asyncpg.Pool[asyncpg.Record]] = {}
        self._locks: dict[str, Locks] = {}

    def usage(self) -> "PoolUsage":
        """The connections of all pools at this moment."""
        size = sum(pool.get_size() for pool in self._pools.values())
        idle = sum(pool.get_idle_size() for pool in self._pools.values())
        return PoolUsage(used=size - idle, idle=idle, limit=sum(pool.get_max_size() for pool in self._pools.values()))

    def locks(self, url: str) -> "Locks":
        """The advisory locks of this process at `url`; they connect at first use."""
        return self._locks.setdefault(url, Locks(url))

    async def open(self, url: str) -> "asyncpg.Pool[asyncpg.Record]":
        """The pool of `url`, made at first use. Raises as `connecting`."""
        if url not in self._pools:
            with connecting("PostgreSQL", url):
                self._pools[url] = await asyncpg.create_pool(
                    url,
                    min_size=1,
                    max_size=self._connections,
                    command_timeout=60,
                    max_inactive_connection_lifetime=300,
                    reset=_reset,
                )
        return self._pools[url]

    async def close(self) -> None:
        """Let the locks go and close every pool, waiting a while for the transactions under way."""
        for locks in self._locks.values():
            await locks.close()
        self._locks.clear()
        for pool in self._pools.values():
            with suppress(*OUTAGES):
                await asyncio.wait_for(pool.close(), CLOSE_SECONDS)
            pool.terminate()
        self._pools.clear()


class Locks:
    """Advisory locks of one process in the database at `url`, in one session of their own, whose end frees them all.

    On pooled connections they would starve the pool: a holder needs another connection for its work, and enough
    holders would wait for each other for ever.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: asyncpg.Connection[asyncpg.Record] | None = None
        self._held: dict[str, Held] = {}
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator["Held | None"]:
        """The lock `name` while the block runs, or None if somebody else has it. Raises one of OUTAGES."""
        held = await self._take(name)
        try:
            yield held
        finally:
            if held is not None:
                await asyncio.shield(self._give_back(held))

    async def close(self) -> None:
        """Disconnect, which frees what is held."""
        async with self._turn:
            session, self._session = self._session, None
            self._held.clear()
            if session is not None:
                with suppress(*OUTAGES):
                    await session.close(timeout=2.0)

    async def prove(self, held: "Held") -> None:
        """See Held.prove."""
        async with self._turn:
            await held.session.fetchval("SELECT 1")

    async def _take(self, name: str) -> "Held | None":
        async with self._turn:
            session = await self._connected()
            if name in self._held:
                return None
            try:
                granted = await session.fetchval("SELECT pg_try_advisory_lock(hashtextextended($1, 0))", name)
            except BaseException:
                session.terminate()  # nobody knows whether it was granted
                raise
            if not granted:
                return None
            self._held[name] = Held(self, session, name)
            return self._held[name]

    async def _give_back(self, held: "Held") -> None:
        async with self._turn:
            if self._held.get(held.name) is not held:
                return  # its session has ended
            del self._held[held.name]
            try:
                await held.session.execute("SELECT pg_advisory_unlock(hashtextextended($1, 0))", held.name)
            except OUTAGES:
                held.session.terminate()

    async def _connected(self) -> "asyncpg.Connection[asyncpg.Record]":
        if self._session is None or self._session.is_closed():
            self._held.clear()
            self._session = None
            self._session = await asyncpg.connect(
                self._url, timeout=10, command_timeout=10, server_settings=_LOCK_SESSION
            )
        return self._session


class Held:
    """An advisory lock that this process holds."""

    def __init__(self, locks: Locks, session: "asyncpg.Connection[asyncpg.Record]", name: str) -> None:
        self._locks = locks
        self.session = session
        self.name = name

    async def prove(self) -> None:
        """Raises one of OUTAGES if its session is gone, so that somebody else may have it."""
        await self._locks.prove(self)


class Database:
    """One service's access to its schema. Every method opens one transaction and commits it if the block returns."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", schema: str) -> None:
        self._pool = pool
        self.schema = schema
        self._acquire, self._begin, self._commit = (
            metrics.DATABASE_SECONDS.labels(schema, step) for step in ("acquire", "begin", "commit")
        )

    @asynccontextmanager
    async def request(self, merchant_id: str, *, snapshot: bool = False) -> AsyncIterator[Connection]:
        """A transaction that sees the rows of `merchant_id` only, all as of its first statement if `snapshot`."""
        async with self._transaction(request_role(self.schema), merchant_id, snapshot=snapshot) as connection:
            yield connection

    @asynccontextmanager
    async def worker(self, *, snapshot: bool = False) -> AsyncIterator[Connection]:
        """A transaction that sees every merchant's rows; each join it makes must match `merchant_id`.

        snapshot: all as of its first statement. Changing a row that another changed since is then an outage.
        """
        async with self._transaction(worker_role(self.schema), "", snapshot=snapshot) as connection:
            yield connection

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Connection]:
        """A connection outside any transaction, with the rights of the login itself. Keep it for short work."""
        async with self._pool.acquire() as connection:
            yield connection

    @asynccontextmanager
    async def _transaction(self, role: str, merchant_id: str, *, snapshot: bool = False) -> AsyncIterator[Connection]:
        isolation: IsolationLevel = "repeatable_read" if snapshot else "read_committed"
        callbacks: list[Callable[[], None]] = []
        token = _after_commit.set(callbacks)
        try:
            asked = time.perf_counter()
            async with self._pool.acquire() as connection:
                acquired = time.perf_counter()
                self._acquire.observe(acquired - asked)
                async with connection.transaction(isolation=isolation):
                    await connection.execute(
                        "SELECT set_config('role', $1, true), set_config('loyalnest.merchant_id', $2, true)",
                        role,
                        merchant_id,
                    )
                    self._begin.observe(time.perf_counter() - acquired)
                    yield connection
                    ended = time.perf_counter()
                self._commit.observe(time.perf_counter() - ended)
        finally:
            _after_commit.reset(token)
        for callback in callbacks:
            callback()


@contextmanager
def connecting(what: str, url: str) -> Iterator[None]:
    """Put a failure to connect to `what` at `url` into words for whoever wrote the address.

    Raises InvalidInput for an address that makes no sense, Unavailable if nobody answers there or lets us in.
    """
    try:
        yield
    except (ValueError, asyncpg.InterfaceError) as error:
        raise InvalidInput(f"The address of {what}, {without_password(url)}, is not valid: {error}") from error
    except (OSError, asyncpg.PostgresError) as error:
        raise Unavailable(f"{what} at {without_password(url)} cannot be reached: {error}") from error


def without_password(url: str) -> str:
    """`url` with its password left out, for messages and logs."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    user = parts.username
    query = "&".join(each for each in parts.query.split("&") if not each.startswith(("password=", "sslpassword=")))
    return urlunsplit(parts._replace(netloc=f"{user}@{host}" if user else host, query=query))


def with_parameters(url: str, parameters: Mapping[str, str]) -> str:
    """`url` with query parameters added or replaced."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query)) | dict(parameters)
    return urlunsplit(parts._replace(query=urlencode(query)))
