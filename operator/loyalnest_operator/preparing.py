"""Runs a program's preparation Job, and says in the status how far it is."""

from collections.abc import Sequence

from loyalnest_operator import names
from loyalnest_operator.facts import Manifest
from loyalnest_operator.jobs import Jobs, Task
from loyalnest_operator.objects import ref_of
from loyalnest_operator.obstacles import Obstacle, Waiting
from loyalnest_operator.status import Condition, Report

BEGINNINGS = ("prepare-", "move-")
"""How the names of Jobs begin of which the program has one at a time: they say who has the merchant."""
_PREPARATION = Task("Preparing", "The database is being prepared.", "PreparationFailed", "The preparation failed")


class Preparing:
    """One Job a program: it migrates the database and gives the program to the services."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def run(self, program: str, manifests: Sequence[Manifest], report: Report) -> None:
        """Return when the Job has succeeded. Raises Waiting while it runs, Obstacle with what it said if it failed."""
        try:
            await self._jobs.stop(program, BEGINNINGS, [ref_of(each) for each in manifests])
            await self._jobs.run(program, manifests, _PREPARATION)
        except (Waiting, Obstacle) as told:
            report.phase(Condition.DATABASE, ready=False, reason=told.reason, message=told.detail)
            raise
        if Condition.DATABASE not in report.phases:
            words = f"The database {names.database(program)} is migrated, and the services have the program."
            report.phase(Condition.DATABASE, ready=True, reason="Prepared", message=words)
