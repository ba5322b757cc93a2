"""What a program has outside the cluster: its database and its topics."""

import time
from collections.abc import Sequence
from typing import Protocol

from loyalnest.kit.program import LoyaltyProgram
from loyalnest.kit.service import Service
from loyalnest_operator.facts import Generated


class Backing(Protocol):
    """Makes what is missing and mends what differs; changes nothing that is right.

    Every method raises Unavailable while a server is away, and InvalidInput for what an admin has to mend.
    """

    async def ensure_database(self, program: str, generated: Generated, services: Sequence[Service]) -> None:
        """The database of a program of its own, its logins and their rights."""
        ...

    async def ensure_topics(self, program: LoyaltyProgram, services: Sequence[Service]) -> None:
        """The topics of a program of its own, with the retention that its spec wants."""
        ...

    async def database_exists(self, program: str) -> bool:
        """Whether a program has a database of its own."""
        ...

    async def drop_database(self, program: str) -> None:
        """Drop the database and its logins, if they are there."""
        ...

    async def delete_topics(self, program: str) -> None:
        """Delete the topics, if they are there."""
        ...


class Lately:
    """Remembers what was found right a while ago, so that not every reconcile asks the servers again."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._right: dict[tuple[str, str], tuple[object, float]] = {}

    def right(self, program: str, what: str, inputs: object) -> bool:
        """Whether `what` of `program` was right with these inputs, less than the time ago."""
        found = self._right.get((program, what))
        return found is not None and found[0] == inputs and time.monotonic() - found[1] < self._seconds

    def note(self, program: str, what: str, inputs: object) -> None:
        """It is right now."""
        self._right[program, what] = (inputs, time.monotonic())

    def forget(self, program: str) -> None:
        """Ask again next time."""
        for key in [key for key in self._right if key[0] == program]:
            del self._right[key]
