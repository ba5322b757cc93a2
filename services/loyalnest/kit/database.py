"""PostgreSQL for one service: transactions under its two roles.

A request runs under the service's request role, which row-level security confines to the merchant that the
transaction was opened for. A batch consumer runs under its worker role, whose one statement serves many merchants.
Both see the service's own schema only.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from loyalnest.kit.errors import DeadlineExceeded, Unavailable
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


_after_commit: ContextVar[list[Callable[[], None]] | None] = ContextVar("loyalnest_after_commit", default=None)


def after_commit(callback: Callable[[], None]) -> None:
    """Call `callback` once the transaction that this task has open is committed; never if it is rolled back."""
    callbacks = _after_commit.get()
    if callbacks is None:
        raise RuntimeError("after_commit needs an open transaction of a Database")
    callbacks.append(callback)


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
                    url,
                    min_size=1,
                    max_size=self._connections,
                    command_timeout=60,
                    max_inactive_connection_lifetime=300,
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

    @asynccontextmanager
    async def request(self, merchant_id: str, *, snapshot: bool = False) -> AsyncIterator[Connection]:
        """A transaction that sees the rows of `merchant_id` only, all as of its first statement if `snapshot`."""
        async with self._transaction(request_role(self.schema), merchant_id, snapshot=snapshot) as connection:
            yield connection

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Connection]:
        """A transaction that sees every merchant's rows; each join it makes must match `merchant_id`."""
        async with self._transaction(worker_role(self.schema), "") as connection:
            yield connection

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Connection]:
        """A connection outside any transaction, for session-level advisory locks. Keep it for short work."""
        async with self._pool.acquire() as connection:
            yield connection

    @asynccontextmanager
    async def _transaction(self, role: str, merchant_id: str, *, snapshot: bool = False) -> AsyncIterator[Connection]:
        isolation: IsolationLevel = "repeatable_read" if snapshot else "read_committed"
        callbacks: list[Callable[[], None]] = []
        token = _after_commit.set(callbacks)
        try:
            async with self._pool.acquire() as connection, connection.transaction(isolation=isolation):
                await connection.execute(
                    "SELECT set_config('role', $1, true), set_config('loyalnest.merchant_id', $2, true)",
                    role,
                    merchant_id,
                )
                yield connection
        finally:
            _after_commit.reset(token)
        for callback in callbacks:
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
