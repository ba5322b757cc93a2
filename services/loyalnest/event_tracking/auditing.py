"""The audit entry of a change that a person, or LoyalNest itself, made here."""

from collections.abc import Mapping
from datetime import datetime

from loyalnest.admin_core.events import AuditLog
from loyalnest.kit.context import current
from loyalnest.kit.events import Event


def audited(
    merchant_id: str, action: str, subject: str, at: datetime, before: Mapping[str, str], after: Mapping[str, str]
) -> Event:
    """The event of a change by whoever makes the call. subject: such as `task:<id>`, whose id orders the events."""
    context = current()
    entry = AuditLog(
        actor=context.actor,
        role=context.role,
        action=action,
        subject=subject,
        before=dict(before),
        after=dict(after),
        at=at,
    )
    return entry.event(merchant_id, subject.partition(":")[2])
