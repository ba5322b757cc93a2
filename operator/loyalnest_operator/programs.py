"""A live LoyaltyProgram as the typed model."""

from loyalnest.kit.program import LoyaltyProgram, ProgramTier
from loyalnest.kit.program.problems import validate
from loyalnest_operator.facts import Manifest
from loyalnest_operator.names import PAUSED
from loyalnest_operator.obstacles import Obstacle


def program_of(live: Manifest) -> LoyaltyProgram:
    """The model of what the API server holds. Raises InvalidPrograms with every wrong place, though it let it pass."""
    metadata = {key: value for key, value in live["metadata"].items() if key in ("name", "labels", "annotations")}
    document = {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": metadata, "spec": live["spec"]}
    return validate(LoyaltyProgram, document)


def refuse_move(live: Manifest, program: LoyaltyProgram) -> None:
    """Raise Obstacle for a new tier that needs the data in another database: the pool's, or one of its own.

    live: the program as the cluster has it. A program that was never prepared has no data yet.
    """
    before, wanted = (live.get("status") or {}).get("tier", ""), program.spec.tier.value
    if before and before != wanted and ProgramTier.POOLED.value in (before, wanted):
        raise Obstacle(
            "TierNotPossible",
            f"The program is {before}, and its data cannot be moved to {wanted}: the pool's database is another than a "
            f"program's own. Everything goes on as it was; set spec.tier to {before} again.",
        )


def paused(live: Manifest) -> bool:
    """Whether an admin wants everything of this program left alone."""
    return annotation(live, PAUSED) == "true"


def annotation(live: Manifest, name: str) -> str:
    """An annotation's value; empty if it is not there."""
    found: str = (live["metadata"].get("annotations") or {}).get(name, "")
    return found


def deleting(live: Manifest) -> bool:
    """Whether somebody has deleted it, so that only the finalizer keeps it."""
    return "deletionTimestamp" in live["metadata"]
