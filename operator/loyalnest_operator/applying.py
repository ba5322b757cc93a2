"""Brings single objects to what they should be, and writes nothing where they are."""

import time
from collections.abc import Collection, Iterable, Sequence

import structlog

from loyalnest_operator.cache import Cache
from loyalnest_operator.cluster import Cluster, Contested, FieldConflict
from loyalnest_operator.contests import Contests
from loyalnest_operator.events import Recorder
from loyalnest_operator.facts import Manifest
from loyalnest_operator.kinds import NAMESPACE
from loyalnest_operator.names import DESIRED_HASH, FIELD_MANAGER, MANAGED_BY, PROGRAM
from loyalnest_operator.objects import Ref, changes, contains, decoded, ref_of, with_hash
from loyalnest_operator.obstacles import Obstacle, Waiting

log = structlog.get_logger(__name__)

MOST_DIFFERENCES = 3


class Applier:
    """Applies and prunes a program's objects, by what the cache has seen of them."""

    def __init__(self, cluster: Cluster, cache: Cache, recorder: Recorder) -> None:
        self._cluster = cluster
        self._cache = cache
        self._recorder = recorder
        self._contests = Contests()

    async def apply(self, program: str, manifests: Iterable[Manifest]) -> None:
        """Make every object what its manifest says.

        Raises FieldConflict, after all the others are right, for objects of which somebody means to keep a field.
        """
        conflicts: list[FieldConflict] = []
        for manifest in manifests:
            try:
                await self._apply(program, manifest)
            except FieldConflict as conflict:
                conflicts.append(conflict)
        if conflicts:
            causes = {field: words for each in conflicts for field, words in each.causes.items()}
            raise FieldConflict(" ".join(each.detail for each in conflicts), causes)

    async def claim(self, program: str, namespace: Manifest) -> None:
        """Make the program's namespace.

        Raises Obstacle if one of that name is there without our label, and Waiting while it is being deleted.
        """
        ref = ref_of(namespace)
        seen = self._cache.seen(program, ref)
        if seen is not None and seen.deleting:
            raise Waiting("NamespaceDeleting", f"Somebody deleted the namespace {ref.name}. It is made again then.")
        if seen is None:
            live = await self._cluster.get(NAMESPACE, ref.name)
            owner = ((live or {}).get("metadata", {}).get("labels") or {}).get(PROGRAM, "")
            if live is not None and owner != program:
                raise Obstacle(
                    "NamespaceTaken",
                    f"The namespace {ref.name} is there and not ours. Delete it, or hand it over: "
                    f"kubectl label namespace {ref.name} {MANAGED_BY}={FIELD_MANAGER} {PROGRAM}={program}",
                )
        await self._apply(program, namespace)

    async def withdraw(self, program: str, kinds: Collection[str], wanted: Iterable[Manifest]) -> None:
        """Delete those objects of some kinds that are not wanted any more, before others are made."""
        kept = set(map(ref_of, wanted))
        await self.prune(program, [ref for ref in self._cache.objects(program) if ref.kind not in kinds or ref in kept])

    async def prune(self, program: str, keep: Iterable[Ref], *, foreground: bool = False) -> None:
        """Delete what belongs to the program and is not to be kept. For `foreground` see Cluster.delete."""
        kept = set(keep)
        for ref, seen in self._cache.objects(program).items():
            if ref not in kept and not seen.deleting:
                log.info("prune", program=program, object=str(ref))
                if not await self._cluster.delete(ref, foreground=foreground):
                    self._cache.forget(program, ref)

    def to_change(self, program: str, manifests: Sequence[Manifest]) -> list[Ref]:
        """The objects that `apply` would write."""
        return [ref_of(each) for each in manifests if not self._right(program, each)]

    async def _apply(self, program: str, manifest: Manifest) -> None:
        ref = ref_of(manifest)
        if self._right(program, manifest):
            return
        seen = self._cache.seen(program, ref)
        drift: list[str] = []
        if seen is not None and seen.content is not None and seen.desired_hash == _hash(manifest):
            drift = changes(decoded(seen.content), manifest)[:MOST_DIFFERENCES]
            if not self._contests.may_correct(ref, time.monotonic()):
                raise await self._contested(program, ref, seen.changed_by, drift)
        try:
            live = await self._cluster.apply(manifest, force=False)
        except FieldConflict as conflict:
            if conflict.deliberate:
                raise
            live = await self._cluster.apply(manifest, force=True)
        self._cache.applied(live)
        if drift:
            self._contests.corrected(ref, time.monotonic())
            log.info("drift", program=program, object=str(ref), fields=drift)
            words = f"{ref} was changed and was put right: {'; '.join(drift)}"
            await self._recorder.warn(program, "DriftCorrected", words)

    async def _contested(self, program: str, ref: Ref, manager: str, drift: Sequence[str]) -> Contested:
        words = (
            f"{ref}: {manager or 'somebody'} changes it back each time that it is put right ({'; '.join(drift)}), so "
            "it is put right less and less often. Stop the other, or change what the program asks for."
        )
        await self._recorder.warn(program, "Contested", words)
        return Contested(words)

    def _right(self, program: str, manifest: Manifest) -> bool:
        """Whether the object is there as it should be, as far as was seen."""
        ref, marked = ref_of(manifest), with_hash(manifest)
        seen = self._cache.seen(program, ref)
        if seen is None or seen.deleting or seen.desired_hash != marked["metadata"]["annotations"][DESIRED_HASH]:
            return False
        if not seen.unchecked:
            return True
        if seen.content is None or not contains(decoded(seen.content), marked):
            return False
        self._cache.settle(program, ref)
        return True


def _hash(manifest: Manifest) -> str:
    found: str = with_hash(manifest)["metadata"]["annotations"][DESIRED_HASH]
    return found
