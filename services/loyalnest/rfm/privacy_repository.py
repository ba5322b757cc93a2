"""All SQL of privacy requests: a redacted customer's numbers go on under a pseudonym, and are exported on request.

The population so stays what it was, and with it everybody else's scores. The pseudonym is that of the ledger, so what
points tells later about its orders is of the same customer here.
"""

from loyalnest.kit.pseudonymising import CUSTOMERS, PseudonymisedRows
from loyalnest.rfm.repository import LOCK_NAME

_LOCKS = (
    f"""
    SELECT pg_advisory_xact_lock_shared(hashtextextended({LOCK_NAME} || $1, 0)) FROM unnest($2::bigint[]) LIMIT 1
    """,
    """
    SELECT FROM rfm.orders o WHERE o.merchant_id = $1 AND o.customer_id = ANY($2::bigint[])
    ORDER BY o.order_id FOR UPDATE
    """,
    """
    SELECT FROM rfm.customers c WHERE c.merchant_id = $1 AND c.customer_id = ANY($2::bigint[])
    ORDER BY c.customer_id FOR UPDATE
    """,
)

_CHANGES = {
    "orders": f"""
        UPDATE rfm.orders o SET customer_id = k.pseudonym
        FROM {CUSTOMERS} WHERE o.merchant_id = $1 AND o.customer_id = k.customer_id
    """,
    "scores": f"""
        UPDATE rfm.customers c SET customer_id = k.pseudonym
        FROM {CUSTOMERS} WHERE c.merchant_id = $1 AND c.customer_id = k.customer_id
    """,
    "movements": f"""
        UPDATE rfm.rfm_segment_deltas d SET customer_id = k.pseudonym
        FROM {CUSTOMERS} WHERE d.merchant_id = $1 AND d.customer_id = k.customer_id
    """,
}

_HELD = {
    "orders": """
        SELECT to_jsonb(r) FROM rfm.orders r
        WHERE r.merchant_id = $1 AND r.customer_id = ANY($2::bigint[]) ORDER BY r.order_id
    """,
    "scores": "SELECT to_jsonb(r) FROM rfm.customers r WHERE r.merchant_id = $1 AND r.customer_id = ANY($2::bigint[])",
    "movements": """
        SELECT to_jsonb(r) FROM rfm.rfm_segment_deltas r
        WHERE r.merchant_id = $1 AND r.customer_id = ANY($2::bigint[]) ORDER BY r.changed_at, r.delta_id
    """,
}

_FOLLOWING = """
    SELECT c.customer_id FROM rfm.customers c
    WHERE c.merchant_id = $1 AND c.customer_id > 0 ORDER BY c.customer_id LIMIT $2
"""

SCORES = PseudonymisedRows(locks=_LOCKS, changes=_CHANGES, following=_FOLLOWING, rows=_HELD)
