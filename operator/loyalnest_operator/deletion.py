"""Takes a deleted program apart, in order: stop, export, drop or retain, clear away, let go.

No data is dropped while a pod of the program is left, nor before its export is complete. What is there decides what
comes next, so an operator that dies in the middle is followed by one that goes on.
"""

import base64
from collections.abc import Callable, Sequence
from itertools import product

import structlog

from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.program import Credentials, LoyaltyProgram, ProgramTier
from loyalnest.kit.service import Service
from loyalnest_operator import names, places, pods, programs
from loyalnest_operator.applying import Applier
from loyalnest_operator.backing import Backing
from loyalnest_operator.cache import Cache
from loyalnest_operator.cluster import Cluster, Stale
from loyalnest_operator.desired import pool_jobs
from loyalnest_operator.desired.addresses import login_url
from loyalnest_operator.desired.export import export_objects, folder
from loyalnest_operator.desired.packing import Packing, pack
from loyalnest_operator.desired.preparation import POOL
from loyalnest_operator.events import Recorder
from loyalnest_operator.facts import Facts, Generated, Manifest
from loyalnest_operator.generated import OWNER
from loyalnest_operator.keeping import Keeping
from loyalnest_operator.kinds import DEPLOYMENT, JOB, NAMESPACE, POD, PROGRAM, SECRET
from loyalnest_operator.objects import Ref, ref_of
from loyalnest_operator.obstacles import Obstacle, Waiting
from loyalnest_operator.settings import OperatorSettings

log = structlog.get_logger(__name__)

RUNNING = ("Deployment", "HorizontalPodAutoscaler", "ScaledObject", "PodDisruptionBudget", "Ingress", "Job")
"""Kinds that are taken away first, so that nothing works on the data any more."""
OURS = ("export-", "close-", "erase-")
"""How the names of the Jobs begin that a deletion itself makes, and of their pods."""
AGAIN_SECONDS = 5.0
"""How often to look, unasked, at what is waited for: pods are not watched."""
RETAIN = "or set spec.deletionPolicy to Retain, which keeps the data and lets the program go"


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
        """Put the finalizer on a program before anything is made for it. Raises Stale if it is gone."""
        metadata = live["metadata"]
        there = metadata.get("finalizers") or []
        if names.FINALIZER not in there:
            await self._set_finalizers(live, [*there, names.FINALIZER])

    async def run(self, live: Manifest) -> None:
        """Return when nothing holds the program any more. Raises Waiting, or Obstacle for what an admin has to mend."""
        metadata = live["metadata"]
        name: str = metadata["name"]
        if names.FINALIZER not in (metadata.get("finalizers") or []):
            return
        drop = live["spec"].get("deletionPolicy") == "Delete"
        await self._stop(name, live)
        if drop:
            await self._drop(name, live)
        else:
            await self._retain(name, live)
        await self._clear(name, drop=drop)
        await self._set_finalizers(live, [each for each in metadata["finalizers"] if each != names.FINALIZER])
        log.info("deleted", program=name, data="dropped" if drop else "retained")

    async def _stop(self, name: str, live: Manifest) -> None:
        kept = [ref for ref in self._cache.objects(name) if ref.kind not in RUNNING or _is_ours(ref)]
        await self._applier.prune(name, kept, foreground=True)
        namespaces = [names.namespace(name)] if places.has_own(live) else []
        namespaces += [self._settings.pool_namespace] if places.in_pool(live) else []
        # What makes pods first, and asked for, since the watches may be behind.
        for kind, namespace in product((DEPLOYMENT, JOB, POD), namespaces):
            there = await self._cluster.all_of(kind, namespace, f"{names.PROGRAM}={name}")
            left = [each for each in there if not each["metadata"]["name"].startswith(OURS)]
            if left:
                raise _waiting(f"Stopping the services. {_some(kind.plural, left)}")

    async def _retain(self, name: str, live: Manifest) -> None:
        if places.in_pool(live):
            words = "The merchant's rows stay in the pool's database; loyalnest erase deletes them."
            await self._recorder.tell(name, "Retained", words)
        if places.has_own(live) and self._secrets(name) in self._cache.objects(name):  # it is made before the database
            await self._recorder.tell(
                name,
                "Retained",
                f"The database {names.database(name)} stays, and the Secret {self._settings.namespace}/"
                f"{names.secrets(name)} with the keys that open it. A new program {name} goes on with both.",
            )

    async def _drop(self, name: str, live: Manifest) -> None:
        try:
            if places.pooled(places.home(live)):
                if places.is_prepared(live):
                    await self._in_pool(name, live, pool_jobs.close, "Closing the merchant in the pool.")
                    await self._export(name, live, await self._pool_url())
            elif await self._backing.database_exists(name):
                await self._export(name, live, await self._own_url(name))
            if places.in_pool(live):
                await self._in_pool(name, live, pool_jobs.erase, "Erasing the merchant's rows in the pool.")
            if places.has_own(live):
                # Also without a database: who died between dropping it and dropping its logins has left those.
                await self._backing.drop_database(name)
                await self._backing.delete_topics(name)
        except InvalidInput as error:
            raise Obstacle("NotDropped", f"{error.detail} Put that right, {RETAIN}.") from error

    async def _in_pool(self, name: str, live: Manifest, build: Callable[[Packing, str], Manifest], words: str) -> None:
        """Return when a Job in the pool's namespace has ended well."""
        program = places.in_tier(programs.program_of(live), ProgramTier.POOLED)
        manifest = build(self._packing(program, Generated("", {})), live["metadata"]["uid"])
        kind = manifest["metadata"]["name"].partition("-")[0]
        there = [ref for ref in self._cache.objects(name) if ref.kind == "Job" and ref.name.startswith(f"{kind}-")]
        if not there:  # one that is there goes on as it is, whichever image another operator would give it
            await self._applier.apply(name, [manifest])
        await self._ended(name, there[0] if there else ref_of(manifest), words, "NotErased", f"{words} That failed")

    async def _ended(self, name: str, job: Ref, doing: str, reason: str, failure: str) -> None:
        """Return when a Job has ended well. Raises Waiting, or Obstacle with what it said."""
        seen = self._cache.objects(name).get(job)
        if seen is None or seen.deleting:
            raise _waiting(doing)
        words = "" if seen.state.ready else await pods.last_words(self._cluster, job.namespace, pods.of_job(job.name))
        if seen.state.failed:
            raise Obstacle(
                reason,
                f"{failure}: {words or seen.state.failed} Nothing is dropped. Mend it and try again with "
                f"kubectl -n {job.namespace} delete job {job.name}, {RETAIN}.",
            )
        if not seen.state.ready:
            look = f"kubectl -n {job.namespace} logs job/{job.name}"
            raise _waiting(" ".join(filter(None, (doing, words, f"See: {look}"))))

    async def _own_url(self, name: str) -> str:
        """The address of the program's own database, as its owner."""
        generated = await self._keeping.existing(name)
        if generated is None:
            secret = f"{self._settings.namespace}/{names.secrets(name)}"
            raise Obstacle(
                "NotExported",
                f"The Secret {secret} is not there, so the data cannot be exported. Restore it, {RETAIN}.",
            )
        return login_url(self._settings.postgres_url.get_secret_value(), name, OWNER, generated)

    async def _pool_url(self) -> str:
        """The address of the pool's database."""
        namespace = self._settings.pool_namespace
        live = await self._cluster.get(SECRET, POOL, namespace)
        encoded = ((live or {}).get("data") or {}).get("LOYALNEST_DATABASE_URL")
        if not encoded:
            raise Obstacle(
                "NotExported",
                f"The Secret {namespace}/{POOL} has no LOYALNEST_DATABASE_URL, so the data cannot be exported. Restore "
                f"it, {RETAIN}.",
            )
        return base64.b64decode(encoded).decode()

    async def _export(self, name: str, live: Manifest, url: str) -> None:
        """Return when the export Job has ended well."""
        claim = self._settings.exports_claim
        if not claim:
            raise Obstacle(
                "NoExports",
                "deletionPolicy is Delete, and the operator has no volume for the export: give its chart "
                f"exports.claim, {RETAIN}.",
            )
        program = programs.program_of(live)
        objects = export_objects(self._packing(program, Generated("", {})), live["metadata"]["uid"], url)
        there = self._cache.objects(name)
        # A Job that is there goes on as it is, whichever image an operator of another version would give it.
        await self._applier.apply(name, [each for each in objects if ref_of(each) not in there])
        job = next(ref_of(each) for each in objects if each["kind"] == "Job")
        await self._ended(
            name, job, f"Exporting the data to the claim {claim}.", "ExportFailed", "The final export failed"
        )
        place = folder(name, live["metadata"]["uid"])
        note = f"The data is in {place} of the claim {job.namespace}/{claim}; now the database is dropped."
        await self._recorder.tell(name, "Exported", note)

    def _packing(self, program: LoyaltyProgram, generated: Generated) -> Packing:
        nobody = Credentials(api_key="", api_secret="")  # an export asks nothing of Shopify
        return pack(program, Facts(self._settings, self._services, nobody, generated, self._settings.image))

    async def _clear(self, name: str, *, drop: bool) -> None:
        """Take everything away that is left in the cluster; return when it is gone."""
        namespace = Ref("v1", "Namespace", "", names.namespace(name))
        there = self._cache.objects(name)
        if namespace in there:  # takes what is in it along
            await self._applier.prune(name, [ref for ref in there if ref != namespace])
            if namespace in self._cache.objects(name):
                raise _waiting(f"Deleting the namespace {namespace.name}. {await self._what_holds(namespace.name)}")
        kept = [] if drop else [self._secrets(name)]
        await self._applier.prune(name, kept)
        left = [ref for ref in self._cache.objects(name) if ref not in kept]
        if left:
            raise _waiting(f"Deleting {left[0]}.")

    async def _what_holds(self, namespace: str) -> str:
        """Why a namespace that is being deleted is still there, in Kubernetes' own words."""
        live = await self._cluster.get(NAMESPACE, namespace)
        conditions = ((live or {}).get("status") or {}).get("conditions") or []
        return " ".join(each.get("message", "") for each in conditions if each["status"] == "True")

    def _secrets(self, name: str) -> Ref:
        return Ref("v1", "Secret", self._settings.namespace, names.secrets(name))

    async def _set_finalizers(self, live: Manifest, finalizers: list[str]) -> None:
        metadata = {"finalizers": finalizers, "resourceVersion": live["metadata"]["resourceVersion"]}
        name = live["metadata"]["name"]
        written = await self._cluster.patch(PROGRAM, name, {"metadata": metadata})
        if written is None:
            raise Stale(f"The program {name} is gone.")
        self._cache.see_program(written, deleted=False)


def _is_ours(ref: Ref) -> bool:
    return ref.kind == "Job" and ref.name.startswith(OURS)


def _waiting(words: str) -> Waiting:
    return Waiting("Deleting", words.strip(), AGAIN_SECONDS)


def _some(plural: str, left: Sequence[Manifest]) -> str:
    named = ", ".join(each["metadata"]["name"] for each in left[:3])
    return f"{len(left)} {plural} are left: {named}{', …' if len(left) > 3 else ''}."
