"""What admin_core itself keeps about customers: the audit log's entries, GDPR requests, and what they brought together.

A redaction and a batch of entries take turns at the head of the merchant's chain, so none slips in between.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from loyalnest.admin_core import audit, audit_repository, request_repository, telling
from loyalnest.admin_core.audit_repository import Filter
from loyalnest.admin_core.subjects import customer_hash
from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.database import Connection
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.privacy import Counts, Redaction

CHUNK = 1000
"""Customers of a shop that one transaction forgets."""
REDACTED = "The customer was redacted."
SHOP_REDACTED = "The whole shop was redacted, which covers this."

_OF_CUSTOMER = "r.customer_hash = $4 AND r.kind = 'customer_data'"
_OF_SHOP = "r.customer_sealed IS NOT NULL"


def _forgetting(whose: str) -> str:
    """Forget whose some requests were, and what they brought together; those that were open end."""
    return f"""
        WITH theirs AS (
            SELECT r.merchant_id, r.request_id FROM admin_core.gdpr_requests r
            WHERE r.merchant_id = $1 AND {whose}
            ORDER BY r.request_id FOR UPDATE
        ), gone AS (
            DELETE FROM admin_core.gdpr_export_parts p USING theirs t
            WHERE p.merchant_id = t.merchant_id AND p.request_id = t.request_id
        )
        UPDATE admin_core.gdpr_requests r
        SET customer_sealed = NULL, customer_hash = NULL, export_until = NULL,
            status = CASE WHEN r.ended_at IS NULL THEN 'cancelled' ELSE r.status END,
            reason = CASE WHEN r.ended_at IS NULL THEN $2 ELSE r.reason END,
            ended_at = coalesce(r.ended_at, $3)
        FROM theirs t WHERE r.merchant_id = t.merchant_id AND r.request_id = t.request_id
        RETURNING r.request_id, r.status = 'cancelled' AND r.ended_at = $3 AS cancelled
    """


class AuditAndRequests:
    """The keeper of both (see `loyalnest.kit.privacy`)."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def redact(self, connection: Connection, redaction: Redaction, customer_id: int) -> Counts:
        """Make the entries that name the customer unreadable, and drop exports.

        The redactions themselves keep the customer's id, sealed, for as long as a backup may have to be redacted.
        """
        merchant_id, whose = redaction.merchant_id, customer_hash(redaction.index_key, customer_id)
        await audit_repository.lock_heads(connection, [merchant_id])
        entries: int = await connection.fetchval(
            """
            SELECT count(*) FROM admin_core.audit_mentions m
            JOIN admin_core.audit_subjects s ON s.merchant_id = m.merchant_id AND s.subject_id = m.subject_id
            WHERE s.merchant_id = $1 AND s.customer_hash = $2
            """,
            merchant_id,
            whose,
        )
        await connection.execute(
            "DELETE FROM admin_core.audit_subjects WHERE merchant_id = $1 AND customer_hash = $2", merchant_id, whose
        )
        requests = await self._forget(connection, redaction, _OF_CUSTOMER, REDACTED, whose)
        return {"audit_entries": entries, "requests": requests}

    async def redact_next(self, connection: Connection, redaction: Redaction) -> Counts:
        """The same for the next customers of the shop, redactions' ids included."""
        merchant_id = redaction.merchant_id
        await audit_repository.lock_heads(connection, [merchant_id])
        subjects: str = await connection.execute(
            """
            DELETE FROM admin_core.audit_subjects s
            WHERE s.merchant_id = $1 AND s.subject_id = ANY(ARRAY(
                SELECT n.subject_id FROM admin_core.audit_subjects n WHERE n.merchant_id = $1 LIMIT $2))
            """,
            merchant_id,
            CHUNK,
        )
        requests = await self._forget(connection, redaction, _OF_SHOP, SHOP_REDACTED)
        counts = {"audit_subjects": int(subjects.rpartition(" ")[2]), "requests": requests}
        return counts if any(counts.values()) else {}

    async def _forget(
        self, connection: Connection, redaction: Redaction, requests: str, reason: str, *whose: bytes
    ) -> int:
        """Forget whose these requests were, and tell the audit log what ended by it. Returns how many."""
        rows = await connection.fetch(_forgetting(requests), redaction.merchant_id, reason, redaction.at, *whose)
        ended = [(redaction.merchant_id, row["request_id"]) for row in rows if row["cancelled"]]
        told = [
            telling.audited(each, "gdpr.cancelled", redaction.at, actor="admin_core")
            for each in await request_repository.lock(connection, ended)
        ]
        await self._outbox.append(connection, told)
        return len(rows)

    async def held(
        self, connection: Connection, merchant_id: str, customer_id: int, keys: MerchantKeys | None
    ) -> Mapping[str, Sequence[Any]]:
        """The entries that name the customer, and the customer's requests."""
        if keys is None:
            return {}
        whose = customer_hash(keys.index_key, customer_id)
        return {
            "audit_entries": await _entries(connection, merchant_id, whose, keys),
            "requests": [
                dict(row)
                for row in await connection.fetch(
                    """
                    SELECT request_id, kind, source, status, requested_at, ended_at FROM admin_core.gdpr_requests
                    WHERE merchant_id = $1 AND customer_hash = $2 ORDER BY request_id
                    """,
                    merchant_id,
                    whose,
                )
            ],
        }


async def _entries(connection: Connection, merchant_id: str, whose: bytes, keys: MerchantKeys) -> list[dict[str, Any]]:
    subject = await audit_repository.subject_of(connection, merchant_id, whose)
    if subject is None:
        return []
    wanted, found, before = Filter(customer=subject.subject_id), list[dict[str, Any]](), 0
    while rows := await audit_repository.listed(connection, merchant_id, wanted, before, CHUNK):
        for entry in await audit.opened(connection, merchant_id, rows, keys):
            row = entry.row
            found.append(
                {
                    "at": row.at,
                    "role": row.role,
                    "action": row.action,
                    "subject": row.subject,
                    "before": row.before,
                    "after": row.after,
                }
            )
        before = rows[-1][0].sequence
    return found
