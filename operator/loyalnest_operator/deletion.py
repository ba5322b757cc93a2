"""Takes a deleted program apart, in order: stop, export, drop or retain, clear away, let go.

What is there decides what comes next, so an operator that dies in the middle is followed by one that goes on.
"""

from collections.abc import Sequence

import structlog

from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.program import Credentials
from loyalnest.kit.service import Service
from loyalnest_operator import names, pods, programs
from loyalnest_operator.applying import Applier
from loyalnest_operator.backing import Backing
from loyalnest_operator.cache import Cache
from loyalnest_operator.cluster import Cluster
from loyalnest_operator.desired.export import export_objects
from loyalnest_operator.desired.packing import Packing, pack
from loyalnest_operator.events import Recorder
from loyalnest_operator.facts import Facts, Generated, Manifest
from loyalnest_operator.keeping import Keeping
from loyalnest_operator.kinds import NAMESPACE, POD, PROGRAM
from loyalnest_operator.objects import Ref, ref_of
from loyalnest_operator.settings import OperatorSettings

log = structlog.get_logger(__name__)

RUNNING = ("Deployment", "HorizontalPodAutoscaler", "ScaledObject", "PodDisruptionBudget", "Ingress", "Job")
"""Kinds that are taken away first, so that nothing works on the data any more."""


class Deletion:
    """The finalizer of programs."""

    def __init__(
        self,
        settings: OperatorSettings,
        services: Sequence[Service],
        cluster: Cluster,
        cache: Cache,
        backing: Backing,
        applier: Applier,
        recorder: Recorder,
    ) -> None:
        self._settings = settings
        self._services = services
        self._cluster = cluster
        self._cache = cache
        self._backing = backing
        self._applier = applier
        self._recorder = recorder
        self._keeping = Keeping(settings, cluster)

    async def guard(self, live: Manifest) -> None:
        """Put the finalizer on a program before anything is made for it."""
        metadata = live["metadata"]
        there = metadata.get("finalizers") or []
        if names.FINALIZER not in there:
            await self._set_finalizers(live, [*there, names.FINALIZER])

    async def step(self, live: Manifest) -> str | None:
        """Go as far as possible now; what is waited for, or None when the program is gone."""
        metadata = live["metadata"]
        name: str = metadata["name"]
        if names.FINALIZER not in (metadata.get("finalizers") or []):
            return None
        return await self._stop(name) or await self._data(name, live) or await self._clear(name, live)

    async def _stop(self, name: str) -> str:
        exporting = Ref("batch/v1", "Job", self._settings.namespace, names.export(name))
        there = self._cache.objects(name)
        keep = [ref for ref in there if ref.kind not in RUNNING or ref == exporting]
        await self._applier.prune(name, keep)
        if any(ref.kind == "Deployment" for ref in self._cache.objects(name)):
            return "Stopping the services."
        namespace = names.namespace(name)
        if Ref("v1", "Namespace", "", namespace) in there:
            running = await self._cluster.all_of(POD, namespace, f"{names.PROGRAM}={name}")
            if running:
                return f"Stopping the services: {len(running)} pods are left."
        return ""

    async def _data(self, name: str, live: Manifest) -> str:
        spec = live["spec"]
        if spec.get("tier") == "Pooled":
            await self._recorder.tell(name, "Retained", "The merchant's rows stay in the pool's database.")
            return ""
        if spec.get("deletionPolicy", "Retain") == "Retain":
            await self._recorder.tell(
                name,
                "Retained",
                f"The database {names.database(name)} stays, and the Secret {self._settings.namespace}/"
                f"{names.secrets(name)} with the keys that open it. A new program {name} goes on with both.",
            )
            return ""
        if await self._backing.database_exists(name):
            waiting = await self._export(name, live)
            if waiting:
                return waiting
            await self._backing.drop_database(name)
        await self._backing.delete_topics(name)
        return ""

    async def _export(self, name: str, live: Manifest) -> str:
        """Run the export Job to its end; what is waited for. Raises InvalidInput if there is no place for exports."""
        if not self._settings.exports_claim:
            raise InvalidInput(
                "deletionPolicy is Delete, and the operator has no volume for the export: give its chart "
                "exports.claim, or set spec.deletionPolicy to Retain."
            )
        generated = await self._keeping.existing(name)
        if generated is None:
            raise InvalidInput(f"The Secret {names.secrets(name)} is gone, so the database cannot be exported.")
        objects = export_objects(self._packing(live, generated), live["metadata"]["uid"])
        await self._applier.apply(name, objects)
        job = next(ref_of(each) for each in objects if each["kind"] == "Job")
        seen = self._cache.objects(name).get(job)
        if seen is not None and seen.state.failed:
            words = await pods.last_words(self._cluster, job.namespace, f"batch.kubernetes.io/job-name={job.name}")
            raise InvalidInput(
                f"The final export failed: {words or seen.state.failed} Nothing is dropped. Mend it and delete the Job "
                f"{job.namespace}/{job.name} to try again, or set spec.deletionPolicy to Retain."
            )
        return "" if seen is not None and seen.state.ready else "Exporting the data."

    def _packing(self, live: Manifest, generated: Generated) -> Packing:
        nobody = Credentials(api_key="", api_secret="")  # an export asks nothing of Shopify
        facts = Facts(self._settings, self._services, nobody, generated, self._settings.image)
        return pack(programs.program_of(live), facts)

    async def _clear(self, name: str, live: Manifest) -> str | None:
        """Take everything away that is left in the cluster, then the finalizer."""
        kept = Ref("v1", "Secret", self._settings.namespace, names.secrets(name))
        dropped = live["spec"].get("deletionPolicy") == "Delete" and live["spec"].get("tier") != "Pooled"
        namespace = Ref("v1", "Namespace", "", names.namespace(name))
        there = self._cache.objects(name)
        if namespace in there:  # takes what is in it along
            await self._applier.prune(name, [ref for ref in there if ref != namespace])
            return "Deleting the namespace."
        if await self._cluster.get(NAMESPACE, namespace.name) and any(
            ref.namespace == namespace.name for ref in self._cache.objects(name)
        ):
            return "Deleting the namespace."
        await self._applier.prune(name, [] if dropped else [kept])
        await self._set_finalizers(live, [each for each in live["metadata"]["finalizers"] if each != names.FINALIZER])
        log.info("deleted", program=name, data="dropped" if dropped else "retained")
        return None

    async def _set_finalizers(self, live: Manifest, finalizers: list[str]) -> None:
        metadata = {"finalizers": finalizers, "resourceVersion": live["metadata"]["resourceVersion"]}
        written = await self._cluster.patch(PROGRAM, live["metadata"]["name"], {"metadata": metadata})
        if written is not None:
            self._cache.see_program(written, deleted=False)
