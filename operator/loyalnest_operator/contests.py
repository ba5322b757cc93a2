"""Objects that somebody else changes again and again: they are put right less and less often.

Two controllers that each insist on a field would write for ever, as fast as the API server lets them.
"""

from dataclasses import dataclass, field

from loyalnest_operator.objects import Ref

FREE = 5
"""Corrections in a row that are made at once: who edits by hand is answered at once."""
FIRST_PAUSE = 10.0
LONGEST_PAUSE = 600.0
IN_A_ROW = 60.0
"""A correction so many seconds after the last one could be made begins a new row."""


@dataclass(slots=True)
class _Row:
    corrections: int
    next_at: float


@dataclass(slots=True)
class Contests:
    """The corrections of late, by object. `now` is on the monotonic clock."""

    _rows: dict[Ref, _Row] = field(default_factory=dict)

    def may_correct(self, ref: Ref, now: float) -> bool:
        """Whether the object may be put right now."""
        row = self._rows.get(ref)
        return row is None or now >= row.next_at

    def corrected(self, ref: Ref, now: float) -> None:
        """The object was put right."""
        self._rows = {each: row for each, row in self._rows.items() if now < row.next_at + IN_A_ROW}
        row = self._rows.setdefault(ref, _Row(0, now))
        row.corrections += 1
        over = row.corrections - FREE
        row.next_at = now + (min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(over, 20)) if over >= 0 else 0.0)
