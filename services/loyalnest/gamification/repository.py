"""All SQL of the evaluation, under the worker role: customers are locked, what they did is counted, changes are stored.

A badge's rule, a merchant's time zone and a customer's facts are read after the customer is locked, so that of two
evaluations at once the later one sees what the earlier one saw, and more.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from loyalnest.gamification.models import Badge, Change, Counted, Facts, Holding, Key, Kind, Rule
from loyalnest.kit.database import Connection

EARNINGS = """
    SELECT o.placed_at AS at, o.points AS gross, greatest(0, o.points - coalesce((
        SELECT sum(c.points) FROM gamification.order_clawbacks c
        WHERE c.merchant_id = o.merchant_id AND c.order_id = o.order_id
    ), 0))::bigint AS net
    FROM gamification.orders o
    WHERE o.merchant_id = k.merchant_id AND o.customer_id = k.customer_id AND o.placed_at IS NOT NULL
    UNION ALL
    SELECT g.earned_at, g.points, g.points FROM gamification.grants g
    WHERE g.merchant_id = k.merchant_id AND g.customer_id = k.customer_id
    UNION ALL
    SELECT r.completed_at, r.referrer_points, CASE WHEN r.reversed THEN 0 ELSE r.referrer_points END
    FROM gamification.referrals r
    WHERE r.merchant_id = k.merchant_id AND r.referrer_id = k.customer_id AND r.completed_at IS NOT NULL
    UNION ALL
    SELECT r.completed_at, r.friend_points, CASE WHEN r.reversed THEN 0 ELSE r.friend_points END
    FROM gamification.referrals r
    WHERE r.merchant_id = k.merchant_id AND r.friend_id = k.customer_id AND r.completed_at IS NOT NULL
"""
"""The points that a customer k earned, before and after what was taken back, and when. An order's are earned when it
was placed, a referral's when it was completed."""

_LEFT = "NOT o.cancelled AND o.net_base > 0"

BADGE_COLUMNS = """badge_key, title, description, icon, kind, target, product_type, product_ids, enabled,
    take_back_on_refund, version, created_at, updated_at"""


def badge_of(row: Any) -> Badge:
    """The badge that a row of `BADGE_COLUMNS` is."""
    return Badge(
        key=row["badge_key"],
        title=row["title"],
        description=row["description"],
        icon=row["icon"],
        rule=Rule(Kind(row["kind"]), row["target"], row["product_type"], tuple(row["product_ids"])),
        enabled=row["enabled"],
        take_back_on_refund=row["take_back_on_refund"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


async def lock_customers(connection: Connection, keys: Iterable[Key]) -> list[Key]:
    """Lock the rows of those of `keys` who are customers, no pseudonyms; missing rows are made. Returns them sorted.

    The rows are changed, not only locked: a redaction, which sees everything as of one moment, else would not notice
    what was written meanwhile.
    """
    ordered = sorted(set(keys))
    await connection.execute(
        """
        INSERT INTO gamification.customers AS c (merchant_id, customer_id)
        SELECT * FROM unnest($1::text[], $2::bigint[])
        ON CONFLICT (merchant_id, customer_id) DO UPDATE SET locked = c.locked + 1
        """,
        *([each[column] for each in ordered] for column in range(2)),
    )
    return [key for key in ordered if key[1] > 0]


BADGES_LOCK = "hashtextextended('loyalnest.gamification.badges.' || k.merchant_id, 0)"


async def hold_badges(connection: Connection, merchants: Iterable[str]) -> None:
    """Let the merchants' badges stay what they are until this transaction ends: nobody is given what is deleted."""
    await connection.execute(
        f"SELECT pg_advisory_xact_lock_shared({BADGES_LOCK}) FROM unnest($1::text[]) AS k(merchant_id)",
        sorted(set(merchants)),
    )


async def badges_in_force(connection: Connection, merchants: Iterable[str]) -> dict[str, list[Badge]]:
    """The badges of each merchant that are not deleted, by key."""
    found: dict[str, list[Badge]] = {merchant_id: [] for merchant_id in merchants}
    rows = await connection.fetch(
        f"""
        SELECT merchant_id, {BADGE_COLUMNS} FROM gamification.badges
        WHERE merchant_id = ANY($1::text[]) AND NOT deleted ORDER BY merchant_id, badge_key
        """,
        list(found),
    )
    for row in rows:
        found[row["merchant_id"]].append(badge_of(row))
    return found


async def facts_of(connection: Connection, keys: Sequence[Key], with_times: Iterable[str]) -> dict[Key, Facts]:
    """What each customer has done. `with_times`: the merchants for whom the orders' times are needed."""
    columns = [[each[column] for each in keys] for column in range(2)]
    rows = await connection.fetch(
        f"""
        SELECT k.merchant_id, k.customer_id, o.*, r.*, e.*
        FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, customer_id)
        CROSS JOIN LATERAL (
            SELECT count(*) AS gross_orders, coalesce(sum(o.base), 0) AS gross_spend,
                   count(*) FILTER (WHERE {_LEFT}) AS net_orders,
                   coalesce(sum(o.net_base) FILTER (WHERE {_LEFT}), 0) AS net_spend,
                   array_agg(o.placed_at) FILTER (WHERE k.merchant_id = ANY($3::text[])) AS gross_placed,
                   array_agg(o.placed_at) FILTER (WHERE k.merchant_id = ANY($3::text[]) AND {_LEFT}) AS net_placed
            FROM gamification.orders o
            WHERE o.merchant_id = k.merchant_id AND o.customer_id = k.customer_id AND o.base > 0
        ) o
        CROSS JOIN LATERAL (
            SELECT count(*) AS gross_referrals, count(*) FILTER (WHERE NOT r.reversed) AS net_referrals
            FROM gamification.referrals r
            WHERE r.merchant_id = k.merchant_id AND r.referrer_id = k.customer_id AND r.completed_at IS NOT NULL
        ) r
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(e.gross), 0)::bigint AS gross_points, coalesce(sum(e.net), 0)::bigint AS net_points
            FROM ({EARNINGS}) e
        ) e
        """,
        *columns,
        list(with_times),
    )
    categories = await _category_spend(connection, columns)
    return {
        (key := (row["merchant_id"], row["customer_id"])): Facts(
            *(
                Counted(
                    orders=row[f"{side}_orders"],
                    spend=row[f"{side}_spend"],
                    points=row[f"{side}_points"],
                    referrals=row[f"{side}_referrals"],
                    placed=row[f"{side}_placed"] or (),
                    categories={badge: both[place] for badge, both in categories.get(key, {}).items()},
                )
                for place, side in enumerate(("gross", "net"))
            )
        )
        for row in rows
    }


async def _category_spend(
    connection: Connection, columns: Sequence[Sequence[Any]]
) -> dict[Key, dict[str, tuple[Decimal, Decimal]]]:
    """Spend before and after refunds by customer and by the badge that counts it."""
    rows = await connection.fetch(
        f"""
        SELECT k.merchant_id, k.customer_id, b.badge_key, sum(s.base) AS gross,
               coalesce(sum(round(s.base * o.net_base / o.base, 4)) FILTER (WHERE {_LEFT}), 0) AS net
        FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, customer_id)
        JOIN gamification.badges b
            ON b.merchant_id = k.merchant_id AND b.kind = '{Kind.CATEGORY_SPEND}' AND NOT b.deleted
        JOIN gamification.orders o
            ON o.merchant_id = k.merchant_id AND o.customer_id = k.customer_id AND o.base > 0
        CROSS JOIN LATERAL (
            SELECT sum(p.base) AS base FROM gamification.order_products p
            LEFT JOIN gamification.products t ON t.merchant_id = p.merchant_id AND t.product_id = p.product_id
            WHERE p.merchant_id = o.merchant_id AND p.order_id = o.order_id
            AND (p.product_id = ANY(b.product_ids) OR (b.folded_type <> '' AND t.folded_type = b.folded_type))
        ) s
        WHERE s.base IS NOT NULL
        GROUP BY k.merchant_id, k.customer_id, b.badge_key
        """,
        *columns,
    )
    found: dict[Key, dict[str, tuple[Decimal, Decimal]]] = {}
    for row in rows:
        found.setdefault((row["merchant_id"], row["customer_id"]), {})[row["badge_key"]] = row["gross"], row["net"]
    return found


async def holdings_of(connection: Connection, keys: Sequence[Key]) -> dict[Key, dict[str, Holding]]:
    """What is decided of each customer, by the badge's key."""
    rows = await connection.fetch(
        """
        SELECT b.merchant_id, b.customer_id, b.badge_key, b.held, b.decided_by, b.awarded_at
        FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, customer_id)
        JOIN gamification.customer_badges b ON b.merchant_id = k.merchant_id AND b.customer_id = k.customer_id
        """,
        *([each[column] for each in keys] for column in range(2)),
    )
    found: dict[Key, dict[str, Holding]] = {key: {} for key in keys}
    for row in rows:
        holding = Holding(row["held"], row["decided_by"] == "hand", row["awarded_at"])
        found[row["merchant_id"], row["customer_id"]][row["badge_key"]] = holding
    return found


async def store(connection: Connection, changes: Sequence[Change], now: datetime) -> None:
    """Write what rules decided, of customers who are locked."""
    await connection.execute(
        """
        INSERT INTO gamification.customer_badges AS b
            (merchant_id, customer_id, badge_key, held, decided_by, awarded_at, changed_at)
        SELECT k.merchant_id, k.customer_id, k.badge_key, k.held, 'rule', $5, $5
        FROM unnest($1::text[], $2::bigint[], $3::text[], $4::boolean[])
            AS k(merchant_id, customer_id, badge_key, held)
        ON CONFLICT (merchant_id, customer_id, badge_key) DO UPDATE SET
            held = excluded.held, changed_at = excluded.changed_at, decided_by = excluded.decided_by,
            awarded_at = CASE WHEN excluded.held THEN excluded.awarded_at ELSE b.awarded_at END
        """,
        [change.merchant_id for change in changes],
        [change.customer_id for change in changes],
        [change.badge.key for change in changes],
        [change.held for change in changes],
        now,
    )


async def refresh_leaderboards(connection: Connection, keys: Sequence[Key], timezones: Mapping[str, str]) -> None:
    """Count anew the points of those locked customers who have an entry in their merchant's leaderboard."""
    columns = [[each[column] for each in keys] for column in range(2)]
    await connection.execute(
        """
        DELETE FROM gamification.leaderboard_points p
        USING unnest($1::text[], $2::bigint[]) AS k(merchant_id, customer_id)
        WHERE p.merchant_id = k.merchant_id AND p.customer_id = k.customer_id
        """,
        *columns,
    )
    await connection.execute(
        f"""
        INSERT INTO gamification.leaderboard_points (merchant_id, period, customer_id, points, reached_at)
        SELECT k.merchant_id, p.period, k.customer_id, sum(e.net), max(e.at)
        FROM unnest($1::text[], $2::bigint[], $3::text[]) AS k(merchant_id, customer_id, timezone)
        JOIN gamification.leaderboard_entries n
            ON n.merchant_id = k.merchant_id AND n.customer_id = k.customer_id
        CROSS JOIN LATERAL ({EARNINGS}) e
        CROSS JOIN LATERAL (VALUES ('all'), (to_char(e.at AT TIME ZONE k.timezone, 'YYYY-MM'))) AS p(period)
        WHERE e.net > 0
        GROUP BY k.merchant_id, p.period, k.customer_id
        """,
        *columns,
        [timezones[merchant_id] for merchant_id, _ in keys],
    )
