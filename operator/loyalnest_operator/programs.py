"""A live LoyaltyProgram as the typed model."""

from loyalnest.kit.program import LoyaltyProgram
from loyalnest.kit.program.problems import validate
from loyalnest_operator.facts import Manifest
from loyalnest_operator.names import PAUSED


def program_of(live: Manifest) -> LoyaltyProgram:
    """The model of what the API server holds. Raises InvalidPrograms with every wrong place, though it let it pass."""
    metadata = {key: value for key, value in live["metadata"].items() if key in ("name", "labels", "annotations")}
    document = {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": metadata, "spec": live["spec"]}
    return validate(LoyaltyProgram, document)


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
