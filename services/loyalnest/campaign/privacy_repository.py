"""All SQL of privacy requests: a redacted customer's membership goes on under a pseudonym, and is exported on request.

The tiers' counts so stay what they were. The pseudonym is that of the ledger, so what points tells later about its
orders is of the same member here; if it told so before the request came, that member is replaced and decided anew.
"""

from loyalnest.kit.pseudonymising import CUSTOMERS, PseudonymisedRows

_LOCKS = (
    """
    SELECT FROM campaign.earnings e WHERE e.merchant_id = $1 AND e.customer_id = ANY($2::bigint[])
    ORDER BY e.source FOR UPDATE
    """,
    """
    SELECT FROM campaign.memberships m WHERE m.merchant_id = $1 AND m.customer_id = ANY($2::bigint[])
    ORDER BY m.customer_id FOR UPDATE
    """,
)

_CHANGES = {
    "earnings": f"""
        UPDATE campaign.earnings e SET customer_id = k.pseudonym
        FROM {CUSTOMERS} WHERE e.merchant_id = $1 AND e.customer_id = k.customer_id
    """,
    "stand_ins": f"""
        DELETE FROM campaign.memberships m
        USING {CUSTOMERS} JOIN campaign.memberships o ON o.merchant_id = $1 AND o.customer_id = k.customer_id
        WHERE m.merchant_id = o.merchant_id AND m.customer_id = k.pseudonym
    """,
    "memberships": f"""
        UPDATE campaign.memberships m SET customer_id = k.pseudonym, due_at = 'epoch'
        FROM {CUSTOMERS} WHERE m.merchant_id = $1 AND m.customer_id = k.customer_id
    """,
    "changes": f"""
        UPDATE campaign.tier_changes c SET customer_id = k.pseudonym
        FROM {CUSTOMERS} WHERE c.merchant_id = $1 AND c.customer_id = k.customer_id
    """,
}

_HELD = {
    "memberships": """
        SELECT to_jsonb(r) FROM campaign.memberships r
        WHERE r.merchant_id = $1 AND r.customer_id = ANY($2::bigint[])
    """,
    "earnings": """
        SELECT to_jsonb(r) FROM campaign.earnings r
        WHERE r.merchant_id = $1 AND r.customer_id = ANY($2::bigint[]) ORDER BY r.source
    """,
    "changes": """
        SELECT to_jsonb(r) FROM campaign.tier_changes r
        WHERE r.merchant_id = $1 AND r.customer_id = ANY($2::bigint[]) ORDER BY r.change_id
    """,
}

_FOLLOWING = """
    SELECT m.customer_id FROM campaign.memberships m
    WHERE m.merchant_id = $1 AND m.customer_id > 0 ORDER BY m.customer_id LIMIT $2
"""
"""Whoever earned is a member."""

MEMBERS = PseudonymisedRows(locks=_LOCKS, changes=_CHANGES, following=_FOLLOWING, rows=_HELD)
