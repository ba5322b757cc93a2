"""What a program's document would make or change in a live cluster, for `loyalnest-operator plan`."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from loyalnest.kit.program import LoyaltyProgram
from loyalnest_operator import names
from loyalnest_operator.cluster import Cluster
from loyalnest_operator.facts import Manifest
from loyalnest_operator.kinds import OWNED, kind_of
from loyalnest_operator.names import DESIRED_HASH
from loyalnest_operator.objects import Ref, changes, ref_of, with_hash
from loyalnest_operator.settings import OperatorSettings


@dataclass(frozen=True, slots=True)
class Step:
    """One object: `create`, `change`, `delete` or `keep`, and the fields that differ."""

    action: str
    ref: Ref
    fields: list[str] = field(default_factory=list)


async def plan(
    cluster: Cluster, settings: OperatorSettings, program: LoyaltyProgram, wanted: Sequence[Manifest]
) -> list[Step]:
    """Compare `wanted` with what is there, in the order in which it would be applied; what goes comes last."""
    steps = [await _step(cluster, manifest) for manifest in wanted]
    keep = {step.ref for step in steps}
    keep.add(Ref("v1", "Secret", settings.namespace, names.secrets(program.metadata.name)))
    for kind in OWNED:
        there = map(ref_of, await cluster.all_of(kind, labels=f"{names.PROGRAM}={program.metadata.name}"))
        steps += [Step("delete", ref) for ref in there if ref not in keep]
    return steps


async def _step(cluster: Cluster, manifest: Manifest) -> Step:
    ref = ref_of(manifest)
    live = await cluster.get(kind_of(ref.api_version, ref.kind), ref.name, ref.namespace)
    if live is None:
        return Step("create", ref)
    fields = changes(live, manifest)
    annotations = live["metadata"].get("annotations") or {}
    if not fields and annotations.get(DESIRED_HASH) != with_hash(manifest)["metadata"]["annotations"][DESIRED_HASH]:
        fields = ["a field that is there is no longer desired"]
    return Step("change" if fields else "keep", ref, fields)
