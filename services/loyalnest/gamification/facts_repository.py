"""All SQL that writes what customers did, under the worker role. Each answers whose facts they are.

Locks are taken in one order everywhere: orders, referrals, products, customers, each sorted by key, so that two batches
cannot deadlock. What is known of an order or a referral stays its customer's, redacted or not.
"""

from collections.abc import Sequence

from loyalnest.gamification.facts import Grant, OrderEarned, OrderLessened, ProductType, Referral
from loyalnest.gamification.models import Key
from loyalnest.kit.database import Connection


async def add_earned(connection: Connection, orders: Sequence[OrderEarned]) -> set[Key]:
    """Note orders that earned, and what they were for. The first that is told of an order stays."""
    rows = sorted({(each.merchant_id, each.order_id): each for each in reversed(orders)}.items())
    found = await connection.fetch(
        """
        INSERT INTO gamification.orders AS o
            (merchant_id, order_id, customer_id, placed_at, base, points, net_base, cancelled)
        SELECT k.*, k.base, false
        FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::numeric[], $6::bigint[])
            AS k(merchant_id, order_id, customer_id, placed_at, base, points)
        ON CONFLICT (merchant_id, order_id) DO UPDATE SET
            placed_at = coalesce(o.placed_at, excluded.placed_at),
            base = coalesce(o.base, excluded.base),
            points = coalesce(o.points, excluded.points),
            net_base = least(o.net_base, excluded.net_base)
        RETURNING o.merchant_id, o.customer_id
        """,
        *([getattr(row, name) for _, row in rows] for name in OrderEarned.__dataclass_fields__ if name != "products"),
    )
    spend = [(*key, product_id, base) for key, row in rows for product_id, base in row.products]
    await connection.execute(
        """
        INSERT INTO gamification.order_products (merchant_id, order_id, product_id, base)
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::numeric[])
        ON CONFLICT DO NOTHING
        """,
        *([each[column] for each in spend] for column in range(4)),
    )
    return {(row["merchant_id"], row["customer_id"]) for row in found}


async def add_lessened(connection: Connection, changes: Sequence[OrderLessened]) -> set[Key]:
    """Note what orders are worth now; refunds are cumulative, so the least is the newest."""
    found = await connection.fetch(
        """
        INSERT INTO gamification.orders AS o (merchant_id, order_id, customer_id, net_base, cancelled)
        SELECT k.merchant_id, k.order_id, min(k.customer_id), min(k.net_base), bool_or(k.cancelled)
        FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::numeric[], $5::boolean[])
            AS k(merchant_id, order_id, customer_id, net_base, cancelled)
        GROUP BY k.merchant_id, k.order_id
        ORDER BY k.merchant_id, k.order_id
        ON CONFLICT (merchant_id, order_id) DO UPDATE SET
            net_base = least(o.net_base, excluded.net_base), cancelled = o.cancelled OR excluded.cancelled
        RETURNING o.merchant_id, o.customer_id
        """,
        *([getattr(each, name) for each in changes] for name in OrderLessened.__dataclass_fields__ if name != "points"),
    )
    await connection.execute(
        """
        INSERT INTO gamification.order_clawbacks AS c (merchant_id, order_id, net_base, cancelled, points)
        SELECT k.merchant_id, k.order_id, k.net_base, k.cancelled, max(k.points)
        FROM unnest($1::text[], $2::bigint[], $3::numeric[], $4::boolean[], $5::bigint[])
            AS k(merchant_id, order_id, net_base, cancelled, points)
        GROUP BY k.merchant_id, k.order_id, k.net_base, k.cancelled
        ORDER BY k.merchant_id, k.order_id, k.net_base, k.cancelled
        ON CONFLICT (merchant_id, order_id, net_base, cancelled)
        DO UPDATE SET points = greatest(c.points, excluded.points)
        """,
        *(
            [getattr(each, name) for each in changes]
            for name in OrderLessened.__dataclass_fields__
            if name != "customer_id"
        ),
    )
    return {(row["merchant_id"], row["customer_id"]) for row in found}


async def add_grants(connection: Connection, grants: Sequence[Grant]) -> set[Key]:
    """Note points of other origins, each transaction once."""
    rows = sorted(grants, key=lambda each: (each.merchant_id, each.transaction_id))
    found = await connection.fetch(
        """
        INSERT INTO gamification.grants AS g (merchant_id, transaction_id, customer_id, points, earned_at)
        SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::bigint[], $5::timestamptz[])
        ON CONFLICT DO NOTHING
        RETURNING g.merchant_id, g.customer_id
        """,
        *([getattr(each, name) for each in rows] for name in Grant.__dataclass_fields__),
    )
    return {(row["merchant_id"], row["customer_id"]) for row in found}


async def add_referrals(connection: Connection, referrals: Sequence[Referral]) -> set[Key]:
    """Note referrals, at most one of each and sorted: `Referral.combine` in SQL. Answers with both sides."""
    found = await connection.fetch(
        """
        INSERT INTO gamification.referrals AS r
            (merchant_id, referral_id, referrer_id, friend_id, referrer_points, friend_points, completed_at, reversed)
        SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                             $7::timestamptz[], $8::boolean[])
        ON CONFLICT (merchant_id, referral_id) DO UPDATE SET
            referrer_points = coalesce(r.referrer_points, excluded.referrer_points),
            friend_points = coalesce(r.friend_points, excluded.friend_points),
            completed_at = coalesce(r.completed_at, excluded.completed_at),
            reversed = r.reversed OR excluded.reversed
        RETURNING r.merchant_id, r.referrer_id, r.friend_id
        """,
        *([getattr(each, name) for each in referrals] for name in Referral.__dataclass_fields__),
    )
    return {(row["merchant_id"], row[side]) for row in found for side in ("referrer_id", "friend_id")}


async def hold_products(connection: Connection, keys: Sequence[Key]) -> None:
    """Let the types of products stay what they are until this transaction ends; `keys` are (merchant_id, product_id).

    A product's type and an order of it may come at the same moment. Without a lock that both take, neither of the two
    transactions would see the other, and nobody would look at the customer again.
    """
    columns = [[each[column] for each in sorted(set(keys))] for column in range(2)]
    await connection.execute(
        """
        INSERT INTO gamification.products (merchant_id, product_id, folded_type, told_at)
        SELECT k.merchant_id, k.product_id, '', '-infinity'
        FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, product_id)
        ON CONFLICT DO NOTHING
        """,
        *columns,
    )
    await connection.execute(
        """
        SELECT FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, product_id)
        JOIN gamification.products t ON t.merchant_id = k.merchant_id AND t.product_id = k.product_id
        ORDER BY t.merchant_id, t.product_id
        FOR SHARE OF t
        """,
        *columns,
    )


async def add_products(connection: Connection, products: Sequence[ProductType]) -> list[str]:
    """Note products' types, at most one of each and sorted.

    Returns the merchants of whom an order has a product whose type changed, to or from one that a badge counts.
    """
    changed = await connection.fetch(
        """
        WITH given AS (
            SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::timestamptz[])
                AS k(merchant_id, product_id, folded_type, told_at)
        ), known AS (
            SELECT t.merchant_id, t.product_id, t.folded_type FROM given k
            JOIN gamification.products t ON t.merchant_id = k.merchant_id AND t.product_id = k.product_id
        ), written AS (
            INSERT INTO gamification.products AS t (merchant_id, product_id, folded_type, told_at)
            SELECT * FROM given
            ON CONFLICT (merchant_id, product_id) DO UPDATE
            SET folded_type = excluded.folded_type, told_at = excluded.told_at
            WHERE (t.told_at, t.folded_type) < (excluded.told_at, excluded.folded_type)
            RETURNING t.merchant_id, t.product_id, t.folded_type
        )
        SELECT w.merchant_id, w.product_id, w.folded_type, coalesce(k.folded_type, '') AS was
        FROM written w LEFT JOIN known k ON k.merchant_id = w.merchant_id AND k.product_id = w.product_id
        WHERE w.folded_type IS DISTINCT FROM k.folded_type
        """,
        *([getattr(each, name) for each in products] for name in ProductType.__dataclass_fields__),
    )
    # A statement of its own, so that it sees the orders of those who held the products' rows meanwhile.
    rows = await connection.fetch(
        """
        SELECT DISTINCT k.merchant_id
        FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[]) AS k(merchant_id, product_id, folded_type, was)
        WHERE EXISTS (
            SELECT FROM gamification.badges b
            WHERE b.merchant_id = k.merchant_id AND b.folded_type IN (k.folded_type, k.was) AND b.folded_type <> ''
        )
        AND EXISTS (
            SELECT FROM gamification.order_products p
            WHERE p.merchant_id = k.merchant_id AND p.product_id = k.product_id
        )
        ORDER BY k.merchant_id
        """,
        *([row[name] for row in changed] for name in ("merchant_id", "product_id", "folded_type", "was")),
    )
    return [row["merchant_id"] for row in rows]
