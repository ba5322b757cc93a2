"""What is told of a GDPR request: to the services, and to the audit log."""

from datetime import datetime

from loyalnest.admin_core.events import AuditLog, GdprRequestCompleted, GdprRequestCreated
from loyalnest.admin_core.models import GdprRequest
from loyalnest.kit.context import current
from loyalnest.kit.events import Event


def created(request: GdprRequest, customer_id: int | None) -> Event:
    """The event that asks every service. Requests for one customer keep their order: its key is the customer."""
    payload = GdprRequestCreated(
        request_id=request.request_id,
        kind=request.kind,
        customer_id=customer_id,
        due_at=request.due_at,
        at=request.requested_at,
    )
    return payload.event(request.merchant_id, "shop" if customer_id is None else f"customer:{customer_id}")


def completed(request: GdprRequest, customer_id: int | None, now: datetime) -> Event:
    """The event that all have confirmed. `customer_id` is None where the customer can be named no more."""
    payload = GdprRequestCompleted(
        request_id=request.request_id, kind=request.kind, customer_id=customer_id, completed_at=now
    )
    return payload.event(request.merchant_id, str(request.request_id))


def audited(request: GdprRequest, action: str, now: datetime, *, actor: str = "", **after: str) -> Event:
    """The entry of a step in the audit log. It names no customer, so that it stays readable.

    actor: `shopify`, or a service; empty for whoever calls.
    """
    context = current()
    said = AuditLog(
        actor=actor or context.actor,
        role="system" if actor else context.role,
        action=action,
        subject=f"gdpr_request:{request.request_id}",
        before={},
        after={"kind": request.kind.value, "status": request.status.value, **after},
        at=now,
    )
    return said.event(request.merchant_id, str(request.request_id))
