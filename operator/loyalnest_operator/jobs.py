"""Runs a program's Jobs to their end, and says what they said when they fail."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from loyalnest_operator import pods
from loyalnest_operator.applying import Applier
from loyalnest_operator.cache import Cache, State
from loyalnest_operator.cluster import Cluster
from loyalnest_operator.facts import Manifest
from loyalnest_operator.objects import Ref, ref_of
from loyalnest_operator.obstacles import Obstacle, Waiting

STOP_SECONDS = 5.0
"""How often to ask, unasked, whether a Job that is stopped is gone."""
RETRY_SECONDS = 30.0
"""How long a failed Job stays to be looked at before a new one is made."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a Job is for: reason and words of the condition while it runs, and when it has failed.

    instead: what an admin may do about a failure, beside waiting for the next try.
    """

    reason: str
    words: str
    failed: str
    failure: str
    instead: str = ""


class Jobs:
    """Applies Jobs and what they read, and looks how far they are."""

    def __init__(self, cluster: Cluster, cache: Cache, applier: Applier) -> None:
        self._cluster = cluster
        self._cache = cache
        self._applier = applier
        self._failed: dict[Ref, float] = {}

    async def run(self, program: str, manifests: Sequence[Manifest], task: Task) -> None:
        """Return when the Jobs among `manifests` have succeeded. Raises Waiting until then, Obstacle for a failure."""
        await self._applier.apply(program, manifests)
        for job in (ref_of(each) for each in manifests if each["kind"] == "Job"):
            seen = self._cache.seen(program, job)
            state = seen.state if seen is not None and not seen.deleting else State(ready=False)
            if state.failed:
                await self._explain(job, state, task)
            self._failed.pop(job, None)
            if not state.ready:
                look = f"kubectl -n {job.namespace} logs job/{job.name} --all-containers"
                words = " ".join(filter(None, [task.words, await self._words(job), f"See: {look}"]))
                raise Waiting(task.reason, words, pods.LOOK_SECONDS)

    async def stop(
        self, program: str, beginnings: tuple[str, ...], keep: Sequence[Ref], *, ended: bool = False
    ) -> None:
        """Take away Jobs whose names begin so, but for `keep`: those that run, and those that have `ended` too.

        Raises Waiting until they are gone: one that still runs could do an older wish after a newer one.
        """
        there = self._cache.objects(program)
        others = [
            ref
            for ref, seen in there.items()
            if ref.kind == "Job"
            and ref not in keep
            and ref.name.startswith(beginnings)
            and (ended or not (seen.state.ready or seen.state.failed))
        ]
        if others:
            await self._applier.prune(program, [ref for ref in there if ref not in others], foreground=True)
            words = f"The preparation before is stopped: {', '.join(each.name for each in others)}."
            raise Waiting("Preparing", words, STOP_SECONDS)

    async def _explain(self, job: Ref, state: State, task: Task) -> None:
        """Say what the Job said; after a while make way for a new one."""
        since = self._failed.setdefault(job, time.monotonic())
        detail = f"{task.failure}: {await self._words(job) or state.failed}"
        if time.monotonic() - since >= RETRY_SECONDS:
            del self._failed[job]
            await self._cluster.delete(job)
        raise Obstacle(task.failed, " ".join(filter(None, [detail, "It is tried again by itself.", task.instead])))

    async def _words(self, job: Ref) -> str:
        return await pods.last_words(self._cluster, job.namespace, pods.of_job(job.name))
