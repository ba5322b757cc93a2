"""The leader's work: list what there is, watch what changes, reconcile what was woken."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import kopf
import structlog

from loyalnest.kit.errors import LoyalNestError
from loyalnest.kit.service import Service
from loyalnest_operator import metrics, watch
from loyalnest_operator.backing import Backing
from loyalnest_operator.cache import Cache
from loyalnest_operator.cluster import Cluster
from loyalnest_operator.credentials import LOOK_SECONDS
from loyalnest_operator.events import Recorder
from loyalnest_operator.facts import Capabilities, Manifest
from loyalnest_operator.kinds import OWNED, PROGRAM, Kind
from loyalnest_operator.objects import Ref, ref_of
from loyalnest_operator.queue import Queue
from loyalnest_operator.reconcile import Reconciler
from loyalnest_operator.settings import OperatorSettings

log = structlog.get_logger(__name__)

STALL_LEASES = 8
"""So many durations of the own Lease, which is renewed several times in each, without news of it: watches stall."""
BEHIND_SECONDS = 300.0
"""So long may a due program wait before the process counts as stuck."""
RELIST_SECONDS = 1.0
OBSERVE_SECONDS = 5.0


class Engine:
    """Everything that only the leader does. `run` once."""

    def __init__(
        self,
        settings: OperatorSettings,
        services: Sequence[Service],
        cluster: Cluster,
        backing: Backing,
        identity: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self.cache = Cache()
        recorder = Recorder(cluster, identity, self._uid_of)
        self.reconciler = Reconciler(settings, services, cluster, self.cache, backing, recorder, clock)
        self.queue = Queue(self.reconciler.reconcile, settings.workers, settings.retry_seconds)
        self._stall_seconds = STALL_LEASES * settings.lease_seconds
        self._heard_at: float | None = None

    async def run(self) -> None:
        """Work until a signal or a cancellation. Raises what ends the watches or the queue."""
        self._heard_at = time.monotonic()
        while not await self._relisted():  # noqa: ASYNC110 - the API server comes back
            await asyncio.sleep(RELIST_SECONDS)
        for name in self.cache.programs:
            self.queue.add(name)
        log.info("engine.started", programs=len(self.cache.programs))
        async with asyncio.TaskGroup() as group:
            works = (self.queue.run(), self._relist_forever(), self._look_at_credentials(), self._observe())
            others = [group.create_task(work) for work in works]
            await self._watch()  # Kopf ends at SIGTERM
            for task in others:
                task.cancel()

    def problems(self) -> dict[str, str]:
        """What is wrong with this process, by name; nothing while it works."""
        found: dict[str, str] = {}
        if self._heard_at is not None and time.monotonic() - self._heard_at > self._stall_seconds:
            found["watch"] = f"no news for {time.monotonic() - self._heard_at:.0f} s"
        if self.queue.oldest() > BEHIND_SECONDS:
            found["queue"] = f"a program has waited for {self.queue.oldest():.0f} s"
        return found

    def heard(self) -> None:
        """See watch.Listener."""
        self._heard_at = time.monotonic()

    def program_changed(self, live: Manifest, *, deleted: bool) -> None:
        """See watch.Listener."""
        name = live["metadata"]["name"]
        domain = live.get("spec", {}).get("shop", {}).get("domain", "")
        if self.cache.see_program(live, deleted=deleted):
            if deleted:
                self.queue.forget(name)
                self.reconciler.references.forget(name)
                for other in self.cache.sharing(domain):  # one of them may have the shop now
                    self.queue.add(other)
            else:
                self.queue.add(name)
        for other in self.reconciler.fleet.news():
            self.queue.add(other)

    def object_changed(self, live: Manifest, *, deleted: bool) -> None:
        """See watch.Listener."""
        for program in self.cache.see_object(live, deleted=deleted):
            if program in self.cache.programs:
                self.queue.add(program)

    async def relist(self) -> None:
        """Look at everything there is, so that what the watches missed is noticed too."""
        served = {kind.kind: await self._cluster.served(kind) for kind in OWNED if kind.optional}
        self.reconciler.capabilities = Capabilities(keda=served["ScaledObject"], prometheus=served["ServiceMonitor"])
        there: set[str] = set()
        async for _, page in self._cluster.pages(PROGRAM):
            for live in page:
                there.add(live["metadata"]["name"])
                self.program_changed(live, deleted=False)
        for name in set(self.cache.programs) - there:
            if await self._cluster.get(PROGRAM, name) is None:
                self.program_changed(self.cache.programs[name].live, deleted=True)
        for kind in OWNED:
            if served.get(kind.kind, True):
                await self._relist(kind)

    async def _relist(self, kind: Kind) -> None:
        there: set[Ref] = set()
        as_of = 0
        async for version, page in self._cluster.pages(kind, labels=watch.OURS):
            as_of = version
            for live in page:
                there.add(ref_of(live))
                self.object_changed(live, deleted=False)
        for program in self.cache.missed(kind.kind, there, as_of):
            self.queue.add(program)

    async def _relist_forever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.resync_seconds)
            await self._relisted()

    async def _relisted(self) -> bool:
        try:
            await self.relist()
        except LoyalNestError as error:
            log.warning("engine.not_relisted", error=error.detail)
            return False
        return True

    async def _look_at_credentials(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                for program in await self.reconciler.references.changed():
                    self.queue.add(program)
            except LoyalNestError as error:
                log.warning("engine.no_look_at_credentials", error=error.detail)

    async def _watch(self) -> None:
        await kopf.operator(
            registry=watch.registry_of(self, self._cluster.login),
            settings=watch.settings_of(),
            standalone=True,
            clusterwide=True,
        )

    async def _observe(self) -> None:
        while True:
            metrics.QUEUE_OLDEST.set(self.queue.oldest())
            metrics.QUEUE_LENGTH.set(len(self.queue))
            metrics.WATCH_AGE.set(time.monotonic() - (self._heard_at or time.monotonic()))
            counts = Counter(each for entry in self.cache.programs.values() for each in entry.conditions)
            metrics.PROGRAMS.clear()
            for (condition, status), count in counts.items():
                metrics.PROGRAMS.labels(condition, status).set(count)
            await asyncio.sleep(OBSERVE_SECONDS)

    def _uid_of(self, program: str) -> str:
        entry = self.cache.programs.get(program)
        return entry.live["metadata"]["uid"] if entry is not None else ""
