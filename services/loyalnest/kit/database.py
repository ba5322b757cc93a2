"""PostgreSQL for one service: transactions under its two roles.

A request runs under `<service>_request`, which row-level security confines to the merchant that the transaction
was opened for. A batch consumer runs under `<service>_worker`, whose one statement serves many merchants. Both see
the service's own schema only, which is also the search path's only entry: SQL names its tables in full all the same.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from loyalnest.kit.errors import Unavailable

Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

OUTAGES: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.TransactionRollbackError,  # deadlock, serialisation failure
    asyncpg.OperatorInterventionError,  # shutdown, crash recovery, cancelled by an administrator
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
    asyncpg.LockNotAvailableError,
)
"""What a retry can mend: PostgreSQL is away, overloaded, or chose this transaction to give way."""


class Pools:
    """Connection pools of one process, one per address, shared by the services that live there."""

    def __init__(self, connections: int) -> None:
        self._connections = connections
        self._pools: dict[str, asyncpg.Pool[asyncpg.Record]] = {}

    async def open(self, url: str) -> "asyncpg.Pool[asyncpg.Record]":
        """The pool of `url`, made at first use. Raises Unavailable if the server cannot be reached."""
        if url not in self._pools:
            try:
                self._pools[url] = await asyncpg.create_pool(
                    url, min_size=1, max_size=self._connections, command_timeout=60, max_inactive_connection_lifetime=300
                )
            except (OSError, asyncpg.PostgresError) as error:
                raise Unavailable(f"PostgreSQL at {without_password(url)} cannot be reached: {error}") from error
        return self._pools[url]

    async def close(self) -> None:
        """Close every pool, waiting for the transactions under way."""
        for pool in self._pools.values():
            await pool.close()
        self._pools.clear()


class Database:
    """One service's access to its schema. Every method opens one transaction and commits it if the block returns."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", schema: str) -> None:
        self._pool = pool
        self.schema = schema
        self._committed: list[Callable[[], None]] = []

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Call `callback` after every committed transaction (the outbox relay wakes up by it)."""
        self._committed.append(callback)

    @asynccontextmanager
    async def request(self, merchant_id: str) -> AsyncIterator[Connection]:
        """A transaction that sees the rows of `merchant_id` only."""
        async with self._transaction(f"{self.schema}_request", merchant_id) as connection:
            yield connection

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Connection]:
        """A transaction that sees every merchant's rows; each join it makes must match `merchant_id`."""
        async with self._transaction(f"{self.schema}_worker", "") as connection:
            yield connection

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Connection]:
        """A connection outside any transaction, for session-level advisory locks. Keep it for short work."""
        async with self._pool.acquire() as connection:
            yield connection

    @asynccontextmanager
    async def _transaction(self, role: str, merchant_id: str) -> AsyncIterator[Connection]:
        async with self._pool.acquire() as connection:
            async with connection.transaction():
                await connection.execute(
                    "SELECT set_config('role', $1, true), set_config('loyalnest.merchant_id', $2, true)", role, merchant_id
                )
                yield connection
        for callback in self._committed:
            callback()


def without_password(url: str) -> str:
    """`url` with its password left out, for messages and logs."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    user = parts.username
    return urlunsplit(parts._replace(netloc=f"{user}@{host}" if user else host))


def with_parameters(url: str, parameters: Mapping[str, str]) -> str:
    """`url` with query parameters added or replaced."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query)) | dict(parameters)
    return urlunsplit(parts._replace(query=urlencode(query)))
