"""All SQL of the batches, under the worker role: orders are combined, and the customers they touch scored anew.

Locks are taken in one order everywhere: merchants (shared), orders, customers, cut points, each sorted by key, so that
two batches cannot deadlock. A refresh takes its merchant exclusively, so that no batch changes what it scores.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime

import msgspec

from loyalnest.kit.database import Connection
from loyalnest.kit.events import current_traceparent
from loyalnest.rfm.events import RfmUpdated
from loyalnest.rfm.models import OrderState, Schedule
from loyalnest.rfm.scoring import GRID

Key = tuple[str, int]
"""(merchant_id, customer_id)."""

LOCK_NAME = "'loyalnest.rfm.merchant.'"

COUNTED = "o.placed_at IS NOT NULL AND NOT o.cancelled"


def scores_sql(last_order_date: str, orders: str, monetary: str, cuts: str) -> str:
    """The three scores of a row by the cut points of a row, as columns: `CutPoints.score` in SQL."""

    def score(value: str, comparison: str, column: str) -> str:
        passed = " + ".join(f"({value} {comparison} {cuts}.{column}[{step}])::int" for step in range(1, 5))
        return f"(1 + {passed})::smallint AS {column}_score"

    return ", ".join(
        (
            score(last_order_date, ">=", "recency"),
            score(orders, ">", "frequency"),
            score(monetary, ">", "monetary"),
        )
    )


def segment_sql(scores: str, grid: str) -> str:
    """The segment of a row's scores, given the parameter that holds `GRID`; empty for scores of 0."""
    place = f"({scores}.recency_score - 1) * 5 + {scores}.frequency_score"
    return f"CASE WHEN {scores}.recency_score = 0 THEN '' ELSE ({grid}::text[])[{place}] END"


# An UUID of version 7 from SQL that PostgreSQL 14 has: a random one with the milliseconds put in front.
_NEW_ID = """
    encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING substring(
        int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1),
        'hex')::uuid
"""

TELL_SQL = f"""
    changed AS MATERIALIZED (
        SELECT u.*, {_NEW_ID} AS event_id FROM updated u WHERE u.is_changed
    ), moved AS (
        INSERT INTO rfm.rfm_segment_deltas
            (merchant_id, changed_at, delta_id, customer_id, from_segment, to_segment, recency_score, frequency_score,
             monetary_score)
        SELECT merchant_id, $1, event_id, customer_id, was_segment, segment, recency_score, frequency_score,
               monetary_score
        FROM changed WHERE was_segment <> segment
    ), told AS (
        INSERT INTO rfm.outbox (merchant_id, event_id, topic, key, payload, occurred_at, traceparent)
        SELECT merchant_id, event_id, $3, customer_id::text,
               convert_to(
                   '{{"customer_id":' || customer_id || ',"recency":' || recency_score
                   || ',"frequency":' || frequency_score || ',"monetary":' || monetary_score
                   || ',"segment":"' || segment || '","previous_segment":"' || was_segment
                   || '","as_of":' || $4 || '}}', 'UTF8'),
               $1, $5
        FROM changed WHERE customer_id > 0
    )
"""
"""The end of a statement whose `updated` gives the scored rows: writes movements and the outbox of the changed ones.
Of pseudonyms, which are negative, nobody is told.

The payload is what `RfmUpdated` encodes (a test compares them): segments need no escaping. Its parameters are those of
`tell_parameters`, so a statement's own begin at $6.
"""


def tell_parameters(now: datetime) -> tuple[object, ...]:
    """$1 to $5: the moment, the grid, the topic, the moment as JSON, and the trace that this belongs to."""
    return now, list(GRID), RfmUpdated.topic, msgspec.json.encode(now).decode(), current_traceparent()


async def lock_merchants(connection: Connection, merchants: Iterable[str]) -> None:
    """Hold off refreshes of `merchants` until this transaction ends."""
    await connection.execute(
        f"""
        SELECT pg_advisory_xact_lock_shared(hashtextextended({LOCK_NAME} || k.merchant_id, 0))
        FROM unnest($1::text[]) AS k(merchant_id)
        """,
        sorted(set(merchants)),
    )


async def combine_orders(connection: Connection, states: Mapping[Key, OrderState]) -> list[Key]:
    """Add what `states`, by merchant and order, say to what is known: `OrderState.combine` in SQL.

    Returns whose orders they are, sorted: an order that is known stays its customer's, redacted or not.
    """
    rows = [states[key] for key in sorted(states)]
    found = await connection.fetch(
        """
        INSERT INTO rfm.orders AS o (merchant_id, order_id, customer_id, placed_at, net_base, cancelled)
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::numeric[], $6::boolean[])
        ON CONFLICT (merchant_id, order_id) DO UPDATE SET
            placed_at = coalesce(o.placed_at, excluded.placed_at),
            net_base = least(o.net_base, excluded.net_base),
            cancelled = o.cancelled OR excluded.cancelled
        RETURNING o.merchant_id, o.customer_id
        """,
        [row.merchant_id for row in rows],
        [row.order_id for row in rows],
        [row.customer_id for row in rows],
        [row.placed_at for row in rows],
        [row.net_base for row in rows],
        [row.cancelled for row in rows],
    )
    return sorted({(row["merchant_id"], row["customer_id"]) for row in found})


async def lock_customers(connection: Connection, keys: Sequence[Key], now: datetime) -> None:
    """Lock the rows of `keys`, which are sorted; those that are not there yet are made."""
    columns = [merchant_id for merchant_id, _ in keys], [customer_id for _, customer_id in keys]
    await connection.execute(
        """
        INSERT INTO rfm.customers (merchant_id, customer_id, updated_at)
        SELECT k.merchant_id, k.customer_id, $3 FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, customer_id)
        ON CONFLICT DO NOTHING
        """,
        *columns,
        now,
    )
    await connection.execute(
        """
        SELECT FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, customer_id)
        JOIN rfm.customers c ON c.merchant_id = k.merchant_id AND c.customer_id = k.customer_id
        ORDER BY c.merchant_id, c.customer_id
        FOR UPDATE OF c
        """,
        *columns,
    )


async def rescore(connection: Connection, keys: Sequence[Key], now: datetime) -> dict[str, int]:
    """Reckon locked customers anew from their orders and score them by their merchant's cut points.

    Without cut points a customer stays unscored. Returns by how many customers each population grew.
    """
    last_order_date = "(r.last_order_at AT TIME ZONE coalesce(s.timezone, 'UTC'))::date"
    scores = scores_sql(last_order_date, "r.orders", "r.monetary", "p")
    rows = await connection.fetch(
        f"""
        WITH reckoned AS (
            SELECT k.merchant_id, k.customer_id, count(o.order_id)::int AS orders,
                   coalesce(sum(o.net_base), 0) AS monetary, max(o.placed_at) AS last_order_at
            FROM unnest($6::text[], $7::bigint[]) AS k(merchant_id, customer_id)
            LEFT JOIN rfm.orders o
                ON o.merchant_id = k.merchant_id AND o.customer_id = k.customer_id AND {COUNTED}
            GROUP BY k.merchant_id, k.customer_id
        ), scored AS (
            SELECT r.merchant_id, r.customer_id, r.orders, r.monetary, r.last_order_at, p.population > 0 AS has_cuts,
                   {scores}
            FROM reckoned r
            LEFT JOIN rfm.cut_points p ON p.merchant_id = r.merchant_id
            LEFT JOIN rfm.schedules s ON s.merchant_id = r.merchant_id
        ), settled AS (
            SELECT s.merchant_id, s.customer_id, s.orders, s.monetary, s.last_order_at,
                   CASE WHEN s.orders = 0 THEN 0 WHEN s.has_cuts THEN s.recency_score ELSE c.recency_score END
                       AS recency_score,
                   CASE WHEN s.orders = 0 THEN 0 WHEN s.has_cuts THEN s.frequency_score ELSE c.frequency_score END
                       AS frequency_score,
                   CASE WHEN s.orders = 0 THEN 0 WHEN s.has_cuts THEN s.monetary_score ELSE c.monetary_score END
                       AS monetary_score,
                   c.orders AS was_orders, c.segment AS was_segment,
                   c.recency_score AS was_recency, c.frequency_score AS was_frequency, c.monetary_score AS was_monetary
            FROM scored s
            JOIN rfm.customers c ON c.merchant_id = s.merchant_id AND c.customer_id = s.customer_id
        ), decided AS (
            SELECT s.*, {segment_sql("s", "$2")} AS segment FROM settled s
        ), updated AS (
            UPDATE rfm.customers c
            SET orders = d.orders, monetary = d.monetary, last_order_at = d.last_order_at, updated_at = $1,
                recency_score = d.recency_score, frequency_score = d.frequency_score,
                monetary_score = d.monetary_score, segment = d.segment,
                as_of = CASE WHEN (d.was_recency, d.was_frequency, d.was_monetary, d.was_segment)
                               <> (d.recency_score, d.frequency_score, d.monetary_score, d.segment)
                        THEN $1 ELSE c.as_of END
            FROM decided d
            WHERE c.merchant_id = d.merchant_id AND c.customer_id = d.customer_id
            RETURNING d.*, (d.was_recency, d.was_frequency, d.was_monetary, d.was_segment)
                        <> (d.recency_score, d.frequency_score, d.monetary_score, d.segment) AS is_changed
        ), {TELL_SQL}
        SELECT merchant_id, (count(*) FILTER (WHERE orders > 0) - count(*) FILTER (WHERE was_orders > 0))::int AS grown
        FROM updated GROUP BY merchant_id
        """,
        *tell_parameters(now),
        [merchant_id for merchant_id, _ in keys],
        [customer_id for _, customer_id in keys],
    )
    return {row["merchant_id"]: row["grown"] for row in rows}


REFRESH_DUE_SQL = "(p.customers_now > 0 AND p.customers_now >= 2 * p.population)"
"""Whether the population has doubled since the last refresh, or there was none.

The refreshes between two nights so come at 1, 2, 4, 8 … customers: over a growth to n they score fewer than 2 n rows.
"""


async def grow(connection: Connection, grown: Mapping[str, int]) -> list[str]:
    """Count the populations' growth. Returns the merchants of which a refresh is due: see `REFRESH_DUE_SQL`."""
    merchants = sorted(grown)
    rows = await connection.fetch(
        f"""
        INSERT INTO rfm.cut_points AS p (merchant_id, customers_now)
        SELECT * FROM unnest($1::text[], $2::bigint[])
        ON CONFLICT (merchant_id) DO UPDATE SET customers_now = p.customers_now + excluded.customers_now
        RETURNING p.merchant_id, {REFRESH_DUE_SQL} AS is_due
        """,
        merchants,
        [grown[merchant_id] for merchant_id in merchants],
    )
    return [row["merchant_id"] for row in rows if row["is_due"]]


async def upsert_schedules(connection: Connection, changes: Sequence[Schedule], now: datetime) -> None:
    """Take in newer versions, one per merchant; older ones change nothing. A run that is due stays due."""
    rows = sorted(changes, key=lambda change: change.merchant_id)
    await connection.execute(
        """
        INSERT INTO rfm.schedules AS s (merchant_id, cron, timezone, next_run_at, settings_version)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::int[])
        ON CONFLICT (merchant_id) DO UPDATE SET
            cron = excluded.cron, timezone = excluded.timezone, settings_version = excluded.settings_version,
            next_run_at = CASE WHEN s.next_run_at <= $6 THEN s.next_run_at ELSE excluded.next_run_at END
        WHERE s.settings_version < excluded.settings_version
        """,
        [row.merchant_id for row in rows],
        [row.cron for row in rows],
        [row.timezone for row in rows],
        [row.next_run_at for row in rows],
        [row.settings_version for row in rows],
        now,
    )


async def due(connection: Connection, now: datetime) -> list[str]:
    """Merchants whose run is due, the longest due first, and then those whose population has doubled."""
    rows = await connection.fetch(
        f"""
        SELECT merchant_id, next_run_at FROM rfm.schedules WHERE next_run_at <= $1
        UNION ALL
        SELECT p.merchant_id, NULL FROM rfm.cut_points p WHERE {REFRESH_DUE_SQL}
        ORDER BY next_run_at NULLS LAST, merchant_id
        """,
        now,
    )
    return list(dict.fromkeys(row["merchant_id"] for row in rows))


async def next_due(connection: Connection) -> datetime | None:
    """When the merchant whose turn comes first is due; past if it was missed, None without any schedule."""
    row = await connection.fetchrow(
        "SELECT merchant_id, next_run_at FROM rfm.schedules ORDER BY next_run_at, merchant_id LIMIT 1"
    )
    return row["next_run_at"] if row else None


async def make_partitions(connection: Connection, first: date, months: int) -> int:
    """Make the partitions of `months` months from that of `first` on. Returns how many were missing."""
    made: int = await connection.fetchval("SELECT rfm.make_partitions($1, $2)", first, months)
    return made
