"""A points service whose database connection is killed before a statement of the test's choice."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fixtures import mortal
from integration.points.support import Points


class Victim(Points):
    """Points on a mortal database."""

    died: bool = False

    async def run(self, work: Callable[[], Awaitable[Any]]) -> None:
        """Do the work; dying of the kill is expected, any other failure is not."""
        self.died = await mortal.until_death(work)


async def killed_before_each_statement(points: Points) -> AsyncIterator[Victim]:
    """Victims that die before their first, second, … statement, up to the first that lives through the test's work."""
    async for database in mortal.killed_before_each_statement(points.database, points.url):
        yield Victim(database, points.url, points.clock, points.issuer, keys=points.keys)
