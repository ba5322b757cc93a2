"""The operator as a process for the benchmark: everything is real but the servers of databases and topics.

OPERATOR_PROFILE: a file for what cProfile has measured; without it nothing is profiled.
"""

import asyncio
import cProfile
import logging
import os
from collections.abc import Sequence

from loyalnest.kit import logs
from loyalnest.kit.discovery import discover, in_dependency_order
from loyalnest.kit.program import LoyaltyProgram
from loyalnest.kit.service import Service
from loyalnest_operator import process
from loyalnest_operator.facts import Generated
from loyalnest_operator.settings import OperatorSettings


class NoServers:
    """A Backing of servers that have everything at once."""

    async def ensure_database(self, program: str, generated: Generated, services: Sequence[Service]) -> None:
        """It is there."""

    async def ensure_topics(self, program: LoyaltyProgram, services: Sequence[Service]) -> None:
        """They are there."""

    async def database_exists(self, program: str) -> bool:
        """Programs are new."""
        return False

    async def drop_database(self, program: str) -> None:
        """It is gone."""

    async def delete_topics(self, program: str) -> None:
        """They are gone."""


def main() -> None:
    """Run until SIGTERM."""
    settings = OperatorSettings.from_environment()
    logs.configure(settings)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    found = discover()
    services = in_dependency_order(found, list(found))
    profile, target = cProfile.Profile(), os.environ.get("OPERATOR_PROFILE")
    if target:
        profile.enable()
    asyncio.run(process.run(settings, services, NoServers()))
    if target:
        profile.disable()
        profile.dump_stats(target)


if __name__ == "__main__":
    main()
