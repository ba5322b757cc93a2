"""Why a reconcile does not come to its end: something to wait for, or something that a person has to mend."""

from loyalnest.kit.errors import LoyalNestError, Unavailable
from loyalnest.kit.program import InvalidPrograms
from loyalnest_operator.cluster import Contested, FieldConflict, Refused


class Obstacle(LoyalNestError):
    """Something that an admin has to mend. `reason` is the condition's, in CamelCase."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Waiting(Exception):
    """A phase is under way and goes on by itself; `again` is when to look at it unasked, in seconds."""

    def __init__(self, reason: str, detail: str, again: float | None = None) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.again = reason, detail, again


_REASONS: tuple[tuple[type[LoyalNestError], str], ...] = (
    (Contested, "Contested"),
    (FieldConflict, "FieldConflict"),
    (Refused, "Refused"),
    (InvalidPrograms, "InvalidSpec"),
    (Unavailable, "Unavailable"),
)


def reason_of(error: LoyalNestError) -> str:
    """One word for an error, as a condition's reason and a metric's label."""
    if isinstance(error, Obstacle):
        return error.reason
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "Failed")
