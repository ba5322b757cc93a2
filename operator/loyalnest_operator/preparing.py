"""Runs a program's preparation Job, and says what it said when it fails."""

import time
from collections.abc import Sequence

from loyalnest_operator import names, pods
from loyalnest_operator.applying import Applier
from loyalnest_operator.cache import Cache, State
from loyalnest_operator.cluster import Cluster
from loyalnest_operator.facts import Manifest
from loyalnest_operator.objects import Ref, ref_of
from loyalnest_operator.obstacles import Obstacle, Waiting
from loyalnest_operator.status import Condition, Report

STOP_SECONDS = 5.0
"""How often to ask, unasked, whether a Job that is stopped is gone."""
RETRY_SECONDS = 30.0
"""How long a failed Job stays to be looked at before a new one is made."""


class Preparing:
    """One Job a program: it migrates the database and gives the program to the services."""

    def __init__(self, cluster: Cluster, cache: Cache, applier: Applier) -> None:
        self._cluster = cluster
        self._cache = cache
        self._applier = applier
        self._failed: dict[Ref, float] = {}

    async def run(self, program: str, manifests: Sequence[Manifest], report: Report) -> None:
        """Return when the Job has succeeded. Raises Waiting while it runs, Obstacle with what it said if it failed."""
        jobs = [ref_of(each) for each in manifests if each["kind"] == "Job"]
        await self._stop_others(program, jobs, report)
        await self._applier.apply(program, manifests)
        for job in jobs:
            seen = self._cache.seen(program, job)
            state = seen.state if seen is not None else State(ready=False)
            if state.failed:
                await self._explain(job, state, report)
            self._failed.pop(job, None)
            if not state.ready:
                look = f"kubectl -n {job.namespace} logs job/{job.name} --all-containers"
                words = " ".join(
                    filter(None, ["The database is being prepared.", await self._words(job), f"See: {look}"])
                )
                report.phase(Condition.DATABASE, ready=False, reason="Preparing", message=words)
                raise Waiting("Preparing", words, pods.LOOK_SECONDS)
        if Condition.DATABASE not in report.phases:
            words = f"The database {names.database(program)} is migrated, and the services have the program."
            report.phase(Condition.DATABASE, ready=True, reason="Prepared", message=words)

    async def _stop_others(self, program: str, jobs: Sequence[Ref], report: Report) -> None:
        """End what still prepares an older wish: it could give the services that after the newer one."""
        there = self._cache.objects(program)
        others = [
            ref
            for ref, seen in there.items()
            if ref.kind == "Job" and ref not in jobs and not (seen.state.ready or seen.state.failed)
        ]
        if others:
            await self._applier.prune(program, [ref for ref in there if ref not in others], foreground=True)
            words = f"The preparation before is stopped: {', '.join(each.name for each in others)}."
            report.phase(Condition.DATABASE, ready=False, reason="Preparing", message=words)
            raise Waiting("Preparing", words, STOP_SECONDS)

    async def _explain(self, job: Ref, state: State, report: Report) -> None:
        """Say what the Job said; after a while make way for a new one."""
        since = self._failed.setdefault(job, time.monotonic())
        detail = f"The preparation failed: {await self._words(job) or state.failed}"
        report.phase(Condition.DATABASE, ready=False, reason="PreparationFailed", message=detail)
        if time.monotonic() - since >= RETRY_SECONDS:
            del self._failed[job]
            await self._cluster.delete(job)
        raise Obstacle("PreparationFailed", f"{detail} It is tried again by itself.")

    async def _words(self, job: Ref) -> str:
        return await pods.last_words(self._cluster, job.namespace, pods.of_job(job.name))
