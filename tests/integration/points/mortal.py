"""A points service whose database connection is killed before a statement of the test's choice."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from integration.points.support import Points
from loyalnest.kit.database import OUTAGES, Connection, Database, Pools


class _Mortal:
    """A connection whose backend is terminated before its statement number `before`."""

    def __init__(self, connection: Connection, owner: "_MortalDatabase") -> None:
        self._connection = connection
        self._owner = owner

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._connection, name)
        if name not in {"execute", "fetch", "fetchrow", "fetchval"}:
            return method

        async def run(*arguments: Any) -> Any:
            await self._owner.count(self._connection)
            return await method(*arguments)

        return run


class _MortalDatabase(Database):
    def __init__(self, points: Points, pool: Any, before: int) -> None:
        super().__init__(pool, "points")
        self._killer = points
        self._before = before
        self.statements = 0

    async def count(self, connection: Connection) -> None:
        self.statements += 1
        if self.statements == self._before:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            # With a timeout, the function waits until the backend is gone.
            await self._killer.sql("SELECT pg_terminate_backend($1, 5000)", pid)

    @asynccontextmanager
    async def _transaction(self, role: str, merchant_id: str, *, snapshot: bool = False) -> AsyncIterator[Connection]:
        async with super()._transaction(role, merchant_id, snapshot=snapshot) as connection:
            yield _Mortal(connection, self)  # type: ignore[misc]


class Victim(Points):
    """Points on a mortal database."""

    died: bool = False

    async def run(self, work: Callable[[], Awaitable[Any]]) -> None:
        """Do the work; dying of the kill is expected, any other failure is not."""
        try:
            await work()
        except OUTAGES:
            self.died = True


async def killed_before_each_statement(points: Points) -> AsyncIterator[Victim]:
    """Victims that die before their first, second, … statement, up to the first that lives through the test's work."""
    before = 0
    while True:
        before += 1
        pools = Pools(1)
        database = _MortalDatabase(points, await pools.open(points.url), before)
        victim = Victim(database, points.url, points.clock, points.issuer)
        yield victim
        await pools.close()
        if database.statements < before:
            return
