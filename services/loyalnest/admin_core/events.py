"""What other services tell the audit log."""

from datetime import datetime
from typing import ClassVar

from loyalnest.kit.events import Payload


class AuditLog(Payload, frozen=True, kw_only=True):
    """Somebody changed something. `before` and `after` hold no personal data in the clear.

    action: e.g. `points.adjusted`; subject: what it was done to, e.g. `customer:123`.
    """

    topic: ClassVar[str] = "audit_log"

    actor: str
    role: str
    action: str
    subject: str
    before: dict[str, str]
    after: dict[str, str]
    at: datetime
