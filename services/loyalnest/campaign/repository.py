"""All SQL of the batches, under the worker role: earnings are combined, and the members they touch decided anew.

Locks are taken in one order everywhere: merchants (shared), earnings, members, each sorted by key, so that two batches
cannot deadlock. New rules take their merchant exclusively, so that no batch decides by those before once the members
are being evaluated by the new ones.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from operator import attrgetter

import msgspec

from loyalnest.campaign.models import Earning, Key, Member, TierChange
from loyalnest.campaign.tiers import TierRules
from loyalnest.kit.database import Connection

_LOCK_NAME = "'loyalnest.campaign.merchant.'"

member_values = attrgetter(*Member.__dataclass_fields__)
_encoder = msgspec.json.Encoder(decimal_format="string")


async def lock_merchants(connection: Connection, merchants: Iterable[str], *, exclusively: bool = False) -> None:
    """Hold off new rules of `merchants` until this transaction ends; `exclusively`: also every batch of theirs."""
    function = "pg_advisory_xact_lock" if exclusively else "pg_advisory_xact_lock_shared"
    await connection.execute(
        f"SELECT {function}(hashtextextended({_LOCK_NAME} || k.merchant_id, 0)) "
        "FROM unnest($1::text[]) AS k(merchant_id)",
        sorted(set(merchants)),
    )


async def combine_earnings(connection: Connection, earnings: Mapping[tuple[str, str], Earning]) -> list[Key]:
    """Add what `earnings`, by merchant and source, say to what is known: `Earning.combine` in SQL.

    Returns whose they are, sorted.
    """
    keys = sorted(earnings)
    rows = [earnings[key] for key in keys]
    found = await connection.fetch(
        """
        INSERT INTO campaign.earnings AS e (merchant_id, source, customer_id, earned_at, points, clawed_back)
        SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::bigint[], $6::bigint[])
        ON CONFLICT (merchant_id, source) DO UPDATE SET
            earned_at = least(e.earned_at, excluded.earned_at),
            points = greatest(e.points, excluded.points),
            clawed_back = greatest(e.clawed_back, excluded.clawed_back)
        RETURNING e.merchant_id, e.customer_id
        """,
        [merchant_id for merchant_id, _ in keys],
        [source for _, source in keys],
        [row.customer_id for row in rows],
        [row.earned_at for row in rows],
        [row.points for row in rows],
        [row.clawed_back for row in rows],
    )
    return sorted({(row["merchant_id"], row["customer_id"]) for row in found})


async def lock_members(connection: Connection, keys: Sequence[Key]) -> list[Member]:
    """The members `keys`, which are sorted, locked; those that are not there yet are made, in no tier."""
    await connection.execute(
        f"INSERT INTO campaign.memberships (merchant_id, customer_id) SELECT * FROM {_KEYS} ON CONFLICT DO NOTHING",
        *_columns(keys),
    )
    rows = await connection.fetch(
        f"""
        SELECT {", ".join(f"m.{name}" for name in Member.__dataclass_fields__)}
        FROM {_KEYS} AS k(merchant_id, customer_id)
        JOIN campaign.memberships m ON m.merchant_id = k.merchant_id AND m.customer_id = k.customer_id
        ORDER BY m.merchant_id, m.customer_id
        FOR UPDATE OF m
        """,
        *_columns(keys),
    )
    return [Member(*row.values()) for row in rows]


async def earned_days(
    connection: Connection, keys: Collection[Key], rules: Mapping[str, TierRules]
) -> dict[Key, list[tuple[date, int]]]:
    """The points of each customer by the merchant's days, ascending; those who earned nothing are left out."""
    rows = await connection.fetch(
        """
        SELECT e.merchant_id, e.customer_id, (e.earned_at AT TIME ZONE k.timezone)::date AS day,
               sum(greatest(e.points - e.clawed_back, 0))::bigint AS points
        FROM unnest($1::text[], $2::bigint[], $3::text[]) AS k(merchant_id, customer_id, timezone)
        JOIN campaign.earnings e ON e.merchant_id = k.merchant_id AND e.customer_id = k.customer_id
        WHERE e.earned_at IS NOT NULL AND e.points > e.clawed_back
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        """,
        *_columns(keys),
        [rules[merchant_id].timezone for merchant_id, _ in keys],
    )
    found: dict[Key, list[tuple[date, int]]] = {}
    for row in rows:
        found.setdefault((row["merchant_id"], row["customer_id"]), []).append((row["day"], row["points"]))
    return found


async def store_members(connection: Connection, members: Sequence[Member]) -> None:
    """Write locked members as they are now."""
    if members:
        await connection.execute(
            """
            UPDATE campaign.memberships m
            SET tier = v.tier, threshold = v.threshold, multiplier = v.multiplier, reached_on = v.reached_on,
                kept_through = v.kept_through, due_at = v.due_at, changed_at = v.changed_at
            FROM json_to_recordset($1::json) AS v(merchant_id text, customer_id bigint, tier text, threshold bigint,
                multiplier numeric, reached_on date, kept_through date, due_at timestamptz, changed_at timestamptz)
            WHERE m.merchant_id = v.merchant_id AND m.customer_id = v.customer_id
            """,
            _encoder.encode(members).decode(),
        )


async def append_changes(connection: Connection, changes: Sequence[TierChange]) -> None:
    """Write lines of history."""
    if changes:
        names = ", ".join(TierChange.__dataclass_fields__)
        await connection.execute(
            f"""
            INSERT INTO campaign.tier_changes ({names})
            SELECT {names} FROM json_to_recordset($1::json) AS v(change_id uuid, merchant_id text, customer_id bigint,
                previous_tier text, tier text, multiplier numeric, cause text, changed_at timestamptz)
            """,
            _encoder.encode(changes).decode(),
        )


async def due(connection: Connection, now: datetime, limit: int) -> list[Key]:
    """Members who have to be decided anew, the longest due in front."""
    rows = await connection.fetch(
        """
        SELECT m.merchant_id, m.customer_id FROM campaign.memberships m
        WHERE m.due_at <= $1 ORDER BY m.due_at LIMIT $2
        """,
        now,
        limit,
    )
    return [(row["merchant_id"], row["customer_id"]) for row in rows]


_KEYS = "unnest($1::text[], $2::bigint[])"


def _columns(keys: Iterable[Key]) -> tuple[list[str], list[int]]:
    return [merchant_id for merchant_id, _ in keys], [customer_id for _, customer_id in keys]
