"""What rfm publishes."""

from datetime import datetime
from typing import ClassVar

from loyalnest.kit.events import Payload

SEGMENTS = (
    "champions",
    "loyal",
    "potential_loyalist",
    "new",
    "promising",
    "need_attention",
    "about_to_sleep",
    "at_risk",
    "cannot_lose",
    "hibernating",
)
"""The names that `RfmUpdated.segment` may have; `loyalnest.rfm.scoring` says which scores they stand for."""


class RfmUpdated(Payload, frozen=True, kw_only=True):
    """A customer's scores or segment changed.

    recency, frequency, monetary: scores from 1 to 5; all 0 for a customer who has no counted order any more.
    segment, previous_segment: of `SEGMENTS`; empty for none.
    as_of: the moment of the refresh or the batch that found it. A customer's events come in its order.
    """

    topic: ClassVar[str] = "rfm.updated"

    customer_id: int
    recency: int
    frequency: int
    monetary: int
    segment: str
    previous_segment: str
    as_of: datetime
