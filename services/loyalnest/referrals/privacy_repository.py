"""All SQL of privacy requests: who a redacted customer was is erased; what came by them is still counted.

The code stops working, every keyed hash of the customer goes, also those of invitations to them, and all rows go on
under a pseudonym, which is that of the ledger: what is reversed later finds its points there. What is not decided yet
is refused, for nobody is left to be rewarded.

A customer who was redacted alone is marked: what comes late brings no hash back, until Shopify tells of a creation
after the redaction. A redacted shop keeps no such marks.

Rows are locked in the order of the batches: codes, orders, buyers, referrals.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.database import Connection
from loyalnest.kit.privacy import Counts, Redaction
from loyalnest.kit.pseudonymising import CUSTOMERS, PseudonymisedRows

_LOCKS = (
    """
    SELECT FROM referrals.referral_codes c WHERE c.merchant_id = $1 AND c.customer_id = ANY($2::bigint[])
    ORDER BY c.customer_id FOR UPDATE
    """,
    """
    SELECT FROM referrals.orders o
    WHERE o.merchant_id = $1 AND (o.customer_id = ANY($2::bigint[]) OR o.referrer_id = ANY($2::bigint[]))
    ORDER BY o.order_id FOR UPDATE
    """,
    """
    SELECT FROM referrals.buyers b WHERE b.merchant_id = $1 AND b.customer_id = ANY($2::bigint[])
    ORDER BY b.customer_id FOR UPDATE
    """,
    """
    SELECT FROM referrals.referrals r
    WHERE r.merchant_id = $1 AND (r.friend_id = ANY($2::bigint[]) OR r.referrer_id = ANY($2::bigint[]))
    ORDER BY r.friend_id FOR UPDATE
    """,
)

# A person who has nothing to gain any more is not judged either; a note was written by people and may name anybody.
_CLOSED = """
    judged_at = coalesce(r.judged_at, now()), note = '', version = r.version + 1,
    reason = CASE WHEN r.status IN ('pending', 'held') THEN 'redacted' ELSE r.reason END,
    status = CASE WHEN r.status IN ('pending', 'held') THEN 'refused' ELSE r.status END
"""

_CHANGES = {
    "codes": f"""
        UPDATE referrals.referral_codes c SET customer_id = k.pseudonym, code = NULL
        FROM {CUSTOMERS} WHERE c.merchant_id = $1 AND c.customer_id = k.customer_id
    """,
    "clicks": f"""
        UPDATE referrals.referral_clicks c SET customer_id = k.pseudonym
        FROM {CUSTOMERS} WHERE c.merchant_id = $1 AND c.customer_id = k.customer_id
    """,
    "shares": f"""
        UPDATE referrals.referral_shares s SET customer_id = k.pseudonym, friend_hash = NULL
        FROM {CUSTOMERS} WHERE s.merchant_id = $1 AND s.customer_id = k.customer_id
    """,
    "invitations": f"""
        UPDATE referrals.referral_shares s SET friend_hash = NULL
        FROM {CUSTOMERS} JOIN referrals.identities i ON i.merchant_id = $1 AND i.customer_id = k.customer_id
        WHERE s.merchant_id = i.merchant_id AND s.friend_hash = i.hash
    """,
    "identities": f"""
        DELETE FROM referrals.identities i
        USING {CUSTOMERS} WHERE i.merchant_id = $1 AND i.customer_id = k.customer_id
    """,
    "buyers": f"""
        UPDATE referrals.buyers b SET customer_id = k.pseudonym
        FROM {CUSTOMERS} WHERE b.merchant_id = $1 AND b.customer_id = k.customer_id
    """,
    "orders": f"""
        UPDATE referrals.orders o SET customer_id = k.pseudonym
        FROM {CUSTOMERS} WHERE o.merchant_id = $1 AND o.customer_id = k.customer_id
    """,
    "friends_orders": f"""
        UPDATE referrals.orders o SET referrer_id = k.pseudonym
        FROM {CUSTOMERS} WHERE o.merchant_id = $1 AND o.referrer_id = k.customer_id
    """,
    "came_by": f"""
        UPDATE referrals.referrals r SET friend_id = k.pseudonym, {_CLOSED}
        FROM {CUSTOMERS} WHERE r.merchant_id = $1 AND r.friend_id = k.customer_id
    """,
    "referred": f"""
        UPDATE referrals.referrals r SET referrer_id = k.pseudonym, {_CLOSED}
        FROM {CUSTOMERS} WHERE r.merchant_id = $1 AND r.referrer_id = k.customer_id
    """,
}

_HELD = {
    "codes": """
        SELECT to_jsonb(r) FROM referrals.referral_codes r
        WHERE r.merchant_id = $1 AND r.customer_id = ANY($2::bigint[])
    """,
    "clicks": """
        SELECT to_jsonb(r) FROM referrals.referral_clicks r
        WHERE r.merchant_id = $1 AND r.customer_id = ANY($2::bigint[]) ORDER BY r.channel, r.day
    """,
    "shares": """
        SELECT to_jsonb(r) FROM referrals.referral_shares r
        WHERE r.merchant_id = $1 AND r.customer_id = ANY($2::bigint[]) ORDER BY r.share_id
    """,
    "identities": """
        SELECT to_jsonb(r) FROM referrals.identities r
        WHERE r.merchant_id = $1 AND r.customer_id = ANY($2::bigint[]) ORDER BY r.kind, r.hash
    """,
    "buyers": """
        SELECT to_jsonb(r) FROM referrals.buyers r
        WHERE r.merchant_id = $1 AND r.customer_id = ANY($2::bigint[]) AND r.redacted_at IS NULL
    """,
    "orders": """
        SELECT to_jsonb(r) FROM referrals.orders r
        WHERE r.merchant_id = $1 AND r.customer_id = ANY($2::bigint[]) ORDER BY r.order_id
    """,
    # Who the other one is, is the other one's matter.
    "came_by": """
        SELECT to_jsonb(r) - 'referrer_id' FROM referrals.referrals r
        WHERE r.merchant_id = $1 AND r.friend_id = ANY($2::bigint[])
    """,
    "referred": """
        SELECT to_jsonb(r) - 'friend_id' - 'order_id' FROM referrals.referrals r
        WHERE r.merchant_id = $1 AND r.referrer_id = ANY($2::bigint[]) ORDER BY r.referral_id
    """,
}

_FOLLOWING = """
    (SELECT b.customer_id FROM referrals.buyers b
     WHERE b.merchant_id = $1 AND b.customer_id > 0 ORDER BY b.customer_id LIMIT $2)
    UNION
    (SELECT c.customer_id FROM referrals.referral_codes c
     WHERE c.merchant_id = $1 AND c.customer_id > 0 ORDER BY c.customer_id LIMIT $2)
    ORDER BY customer_id LIMIT $2
"""
"""Clicks, shares and referrers have a code; friends, orders and identities have a buyer."""

_ROWS = PseudonymisedRows(locks=_LOCKS, changes=_CHANGES, following=_FOLLOWING, rows=_HELD)


class ReferralsKept:
    """The keeper of what referrals knows of customers (see `loyalnest.kit.privacy`)."""

    async def redact(self, connection: Connection, redaction: Redaction, customer_id: int) -> Counts:
        """Put a pseudonym in the customer's place, and mark the customer as redacted."""
        counts = await _ROWS.redact(connection, redaction, customer_id)
        await connection.execute(
            """
            INSERT INTO referrals.buyers (merchant_id, customer_id, redacted_at) VALUES ($1, $2, $3)
            ON CONFLICT DO NOTHING
            """,
            redaction.merchant_id,
            customer_id,
            redaction.at,
        )
        return counts

    async def redact_next(self, connection: Connection, redaction: Redaction) -> Counts:
        """Put pseudonyms in the places of the next customers."""
        return await _ROWS.redact_next(connection, redaction)

    async def held(
        self, connection: Connection, merchant_id: str, customer_id: int, keys: MerchantKeys | None
    ) -> Mapping[str, Sequence[Any]]:
        """Everything that is kept about a customer."""
        return await _ROWS.held(connection, merchant_id, customer_id, keys)
