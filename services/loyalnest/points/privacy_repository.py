"""All SQL of privacy requests: a redacted customer's rows go on under a pseudonym, and are exported on request.

What comes later about an order that has earned finds the pseudonym there; a later order of the same customer begins a
new member.

All that a transaction here sees is of one moment: of what another changed since, PostgreSQL makes it begin again. So a
batch is before the redaction with all that it does, or after it. Rows are locked in the order of the batches and the
redemptions (awards, redemptions, balances, each sorted by key), so that none waits for ever.
"""

from loyalnest.kit.pseudonymising import CUSTOMERS, PseudonymisedRows
from loyalnest.points.redemption_repository import FORGET_CODE

_ORDERS = """
    SELECT t.order_id FROM points.points_transactions t
    WHERE t.merchant_id = $1 AND t.customer_id = ANY($2::bigint[]) AND t.kind = 'accrual' AND t.order_id IS NOT NULL
    UNION
    SELECT z.order_id FROM points.order_awards z
    WHERE z.merchant_id = $1 AND z.customer_id = ANY($2::bigint[]) AND z.awarded = 0
"""
"""The orders of the customers $2. Their accruals lead to them; an index of all awards by customer would cost every
order some time, so there is one of those without points only.
"""

_LOCKS = (
    f"""
    SELECT FROM points.order_awards a
    WHERE a.merchant_id = $1 AND a.order_id = ANY(ARRAY({_ORDERS})) AND a.customer_id = ANY($2::bigint[])
    ORDER BY a.order_id FOR UPDATE
    """,
    """
    SELECT FROM points.reward_redemptions r WHERE r.merchant_id = $1 AND r.customer_id = ANY($2::bigint[])
    ORDER BY r.redemption_id FOR UPDATE
    """,
    """
    SELECT FROM points.balances b WHERE b.merchant_id = $1 AND b.customer_id = ANY($2::bigint[])
    ORDER BY b.customer_id FOR UPDATE
    """,
)

_CHANGES = {
    "orders": f"""
        UPDATE points.order_awards a SET customer_id = k.pseudonym
        FROM {CUSTOMERS}
        WHERE a.merchant_id = $1 AND a.order_id = ANY(ARRAY({_ORDERS})) AND a.customer_id = k.customer_id
    """,
    # A lot has the id of its accrual's transaction. Only lots with points left are indexed by customer.
    "lots": f"""
        UPDATE points.lots l SET customer_id = k.pseudonym
        FROM {CUSTOMERS} JOIN points.points_transactions t ON t.merchant_id = $1 AND t.customer_id = k.customer_id
        WHERE l.merchant_id = t.merchant_id AND l.lot_id = t.transaction_id
    """,
    "entries": f"""
        UPDATE points.ledger_entries e SET customer_id = k.pseudonym
        FROM {CUSTOMERS} JOIN points.points_transactions t ON t.merchant_id = $1 AND t.customer_id = k.customer_id
        WHERE e.merchant_id = t.merchant_id AND e.transaction_id = t.transaction_id
    """,
    # Keys and notes were written by people and may name anybody.
    "transactions": f"""
        UPDATE points.points_transactions t
        SET customer_id = k.pseudonym, note = '',
            source = CASE WHEN t.source = 'customer:' || k.customer_id || ':joining'
                              THEN 'customer:' || k.pseudonym || ':joining'
                          WHEN t.source LIKE 'adjustment:%' THEN 'adjustment:redacted:' || t.transaction_id
                          ELSE t.source END
        FROM {CUSTOMERS} WHERE t.merchant_id = $1 AND t.customer_id = k.customer_id
    """,
    "redemptions": f"""
        UPDATE points.reward_redemptions r
        SET customer_id = k.pseudonym, reason = '', idempotency_key = 'redacted:' || r.redemption_id
        FROM {CUSTOMERS} WHERE r.merchant_id = $1 AND r.customer_id = k.customer_id
    """,
    # While one is under way, its code is needed still: `redemptions` forgets it at the end.
    "codes": f"""
        UPDATE points.reward_redemptions r SET {FORGET_CODE}
        FROM {CUSTOMERS} WHERE r.merchant_id = $1 AND r.customer_id = k.pseudonym AND r.status <> 'held'
    """,
    "balances": f"""
        UPDATE points.balances b SET customer_id = k.pseudonym
        FROM {CUSTOMERS} WHERE b.merchant_id = $1 AND b.customer_id = k.customer_id
    """,
    # A pseudonym never orders, so it needs no multiplier and no segment.
    "tiers": f"""
        DELETE FROM points.customer_tiers t
        USING {CUSTOMERS} WHERE t.merchant_id = $1 AND t.customer_id = k.customer_id
    """,
    "segments": f"""
        DELETE FROM points.customer_segments s
        USING {CUSTOMERS} WHERE s.merchant_id = $1 AND s.customer_id = k.customer_id
    """,
}

_HELD = {
    "balances": """
        SELECT to_jsonb(r) FROM points.balances r
        WHERE r.merchant_id = $1 AND r.customer_id = ANY($2::bigint[])
    """,
    "transactions": """
        SELECT to_jsonb(r) FROM points.points_transactions r
        WHERE r.merchant_id = $1 AND r.customer_id = ANY($2::bigint[]) ORDER BY r.transaction_id
    """,
    "entries": """
        SELECT to_jsonb(r) FROM points.points_transactions t
        JOIN points.ledger_entries r ON r.merchant_id = t.merchant_id AND r.transaction_id = t.transaction_id
        WHERE t.merchant_id = $1 AND t.customer_id = ANY($2::bigint[]) ORDER BY t.transaction_id, r.account
    """,
    "lots": """
        SELECT to_jsonb(r) FROM points.points_transactions t
        JOIN points.lots r ON r.merchant_id = t.merchant_id AND r.lot_id = t.transaction_id
        WHERE t.merchant_id = $1 AND t.customer_id = ANY($2::bigint[]) ORDER BY r.lot_id
    """,
    "orders": f"""
        SELECT to_jsonb(r) FROM points.order_awards r
        WHERE r.merchant_id = $1 AND r.order_id = ANY(ARRAY({_ORDERS})) AND r.customer_id = ANY($2::bigint[])
        ORDER BY r.order_id
    """,
    "redemptions": """
        SELECT to_jsonb(r) FROM points.reward_redemptions r
        WHERE r.merchant_id = $1 AND r.customer_id = ANY($2::bigint[]) ORDER BY r.redemption_id
    """,
    "tiers": """
        SELECT to_jsonb(r) FROM points.customer_tiers r
        WHERE r.merchant_id = $1 AND r.customer_id = ANY($2::bigint[])
    """,
    "segments": """
        SELECT to_jsonb(r) FROM points.customer_segments r
        WHERE r.merchant_id = $1 AND r.customer_id = ANY($2::bigint[])
    """,
}

_FOLLOWING = """
    (SELECT b.customer_id FROM points.balances b
     WHERE b.merchant_id = $1 AND b.customer_id > 0 ORDER BY b.customer_id LIMIT $2)
    UNION
    (SELECT a.customer_id FROM points.order_awards a
     WHERE a.merchant_id = $1 AND a.customer_id > 0 AND a.awarded = 0 ORDER BY a.customer_id LIMIT $2)
    UNION
    (SELECT t.customer_id FROM points.customer_tiers t
     WHERE t.merchant_id = $1 AND t.customer_id > 0 ORDER BY t.customer_id LIMIT $2)
    UNION
    (SELECT s.customer_id FROM points.customer_segments s
     WHERE s.merchant_id = $1 AND s.customer_id > 0 ORDER BY s.customer_id LIMIT $2)
    ORDER BY customer_id LIMIT $2
"""
"""Orders without points, tiers and segments are known of customers who have no balance."""

LEDGER = PseudonymisedRows(locks=_LOCKS, changes=_CHANGES, following=_FOLLOWING, rows=_HELD)
