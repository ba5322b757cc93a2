"""Where a program's data is: in the pool, or in a database of its own. Pure, from what the cluster has of it.

`status.tier` says where it is, `spec.tier` where it should be, `status.leftBehind` which place it has left and that is
not cleared yet.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from loyalnest.kit.program import LoyaltyProgram, ProgramTier
from loyalnest_operator.facts import Manifest


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """A place that a program has left. tier: that it had there; at: when it left."""

    tier: ProgramTier
    at: datetime

    def as_status(self) -> dict[str, Any]:
        """As it stands in the status."""
        return {"tier": self.tier.value, "at": self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}


def home(live: Manifest) -> ProgramTier:
    """The tier in whose place the data is: as it was prepared last, or as it will be the first time."""
    found = (live.get("status") or {}).get("tier")
    return ProgramTier(found) if found else _wanted(live)


def is_prepared(live: Manifest) -> bool:
    """Whether the program ever had a place."""
    return bool((live.get("status") or {}).get("tier"))


def left_behind(live: Manifest) -> LeftBehind | None:
    """The place that is not cleared yet, if there is one."""
    found = (live.get("status") or {}).get("leftBehind")
    return LeftBehind(ProgramTier(found["tier"]), datetime.fromisoformat(found["at"])) if found else None


def moves(live: Manifest, program: LoyaltyProgram) -> bool:
    """Whether the data is in another place than the program wants."""
    return pooled(home(live)) != pooled(program.spec.tier)


def pooled(tier: ProgramTier) -> bool:
    """Whether programs of this tier live in the pool."""
    return tier is ProgramTier.POOLED


def has_own(live: Manifest) -> bool:
    """Whether the program has, had lately, or gets a database of its own."""
    return not all(map(pooled, _tiers(live)))


def in_pool(live: Manifest) -> bool:
    """Whether the pool has, had lately, or gets rows of the program."""
    return any(map(pooled, _tiers(live)))


def _tiers(live: Manifest) -> list[ProgramTier]:
    left = left_behind(live)
    return [_wanted(live), home(live), *([left.tier] if left else [])]


def _wanted(live: Manifest) -> ProgramTier:
    return ProgramTier(live["spec"].get("tier") or ProgramTier.COMPACT)


def in_tier(program: LoyaltyProgram, tier: ProgramTier) -> LoyaltyProgram:
    """`program` as if it had that tier."""
    return program.model_copy(update={"spec": program.spec.model_copy(update={"tier": tier})})
