"""All SQL of a refresh: one merchant, under its request role, one statement a step whatever its size."""

from dataclasses import dataclass
from datetime import datetime

from loyalnest.kit.database import Connection
from loyalnest.rfm.repository import LOCK_NAME, TELL_SQL, scores_sql, segment_sql, tell_parameters
from loyalnest.rfm.scoring import SEGMENTS, other_places, recency_places

TIMEOUT_SECONDS = 600.0
"""For one statement; the pool's own limit is made for requests."""


@dataclass(frozen=True, slots=True)
class Population:
    """How many customers a merchant's scores are of, and the timezone of their dates."""

    customers: int
    timezone: str


async def lock(connection: Connection, merchant_id: str) -> None:
    """Wait for the batches and refreshes under way of `merchant_id`, and hold off later ones until the commit."""
    await connection.execute(
        f"SELECT pg_advisory_xact_lock(hashtextextended({LOCK_NAME} || $1, 0)), set_config('work_mem', '64MB', true)",
        merchant_id,
        timeout=TIMEOUT_SECONDS,
    )


async def population(connection: Connection, merchant_id: str) -> Population:
    """The population of a locked merchant."""
    row = await connection.fetchrow(
        """
        SELECT (SELECT count(*) FROM rfm.customers WHERE merchant_id = $1 AND orders > 0) AS customers,
               coalesce((SELECT timezone FROM rfm.schedules WHERE merchant_id = $1), 'UTC') AS timezone
        """,
        merchant_id,
        timeout=TIMEOUT_SECONDS,
    )
    assert row is not None
    return Population(row["customers"], row["timezone"])


def _values_at(column: str, places: str) -> str:
    return f"""
        coalesce((
            SELECT array_agg(v.value ORDER BY k.place)
            FROM unnest({places}::bigint[]) AS k(place)
            JOIN (SELECT {column} AS value, row_number() OVER (ORDER BY {column}) AS place FROM population) v
                ON v.place = k.place
        ), '{{}}')
    """


async def set_cut_points(connection: Connection, merchant_id: str, of: Population, now: datetime) -> None:
    """Read the cut points off the sorted values."""
    await connection.execute(
        f"""
        WITH population AS NOT MATERIALIZED (
            SELECT (last_order_at AT TIME ZONE $2)::date AS last_order_date, orders, monetary
            FROM rfm.customers WHERE merchant_id = $1 AND orders > 0
        )
        INSERT INTO rfm.cut_points
            (merchant_id, recency, frequency, monetary, population, customers_now, refreshed_at)
        SELECT $1, {_values_at("last_order_date", "$3")}, {_values_at("orders", "$4")}, {_values_at("monetary", "$4")},
               $5, $5, $6
        ON CONFLICT (merchant_id) DO UPDATE SET
            recency = excluded.recency, frequency = excluded.frequency, monetary = excluded.monetary,
            population = excluded.population, customers_now = excluded.customers_now,
            refreshed_at = excluded.refreshed_at
        """,
        merchant_id,
        of.timezone,
        recency_places(of.customers) if of.customers else [],
        other_places(of.customers) if of.customers else [],
        of.customers,
        now,
        timeout=TIMEOUT_SECONDS,
    )


async def rescore_all(connection: Connection, merchant_id: str, of: Population, now: datetime) -> int:
    """Score the population by its cut points; only rows that change are written and told of. Returns how many."""
    changed: int = await connection.fetchval(
        f"""
        WITH scored AS (
            SELECT c.customer_id, c.segment AS was_segment, c.recency_score AS was_recency,
                   c.frequency_score AS was_frequency, c.monetary_score AS was_monetary,
                   {scores_sql("(c.last_order_at AT TIME ZONE $7)::date", "c.orders", "c.monetary", "p")}
            FROM rfm.customers c
            JOIN rfm.cut_points p ON p.merchant_id = c.merchant_id
            WHERE c.merchant_id = $6 AND c.orders > 0
            OFFSET 0  -- keeps the planner from reckoning the scores twice
        ), decided AS (
            SELECT s.*, {segment_sql("s", "$2")} AS segment FROM scored s
        ), updated AS (
            UPDATE rfm.customers c
            SET recency_score = d.recency_score, frequency_score = d.frequency_score,
                monetary_score = d.monetary_score, segment = d.segment, as_of = $1, updated_at = $1
            FROM decided d
            WHERE c.merchant_id = $6 AND c.customer_id = d.customer_id
              AND (d.was_recency, d.was_frequency, d.was_monetary, d.was_segment)
               <> (d.recency_score, d.frequency_score, d.monetary_score, d.segment)
            RETURNING c.merchant_id, c.customer_id, c.recency_score, c.frequency_score, c.monetary_score, c.segment,
                      d.was_segment, true AS is_changed
        ), {TELL_SQL}
        SELECT count(*) FROM updated
        """,
        *tell_parameters(now),
        merchant_id,
        of.timezone,
        timeout=TIMEOUT_SECONDS,
    )
    return changed


async def count_segments(connection: Connection, merchant_id: str, of: Population, now: datetime) -> None:
    """Write the counts of the local day: every segment, also an empty one; the day's last refresh stands."""
    await connection.execute(
        """
        WITH counted AS (
            SELECT segment, count(*) AS customers, sum(monetary) AS revenue
            FROM rfm.customers WHERE merchant_id = $1 AND orders > 0 GROUP BY segment
        )
        INSERT INTO rfm.rfm_segment_counts (merchant_id, counted_on, segment, customers, revenue)
        SELECT $1, ($3::timestamptz AT TIME ZONE $4)::date, k.segment, coalesce(c.customers, 0), coalesce(c.revenue, 0)
        FROM unnest($2::text[]) AS k(segment) LEFT JOIN counted c ON c.segment = k.segment
        ON CONFLICT (merchant_id, counted_on, segment) DO UPDATE
            SET customers = excluded.customers, revenue = excluded.revenue
        """,
        merchant_id,
        list(SEGMENTS),
        now,
        of.timezone,
        timeout=TIMEOUT_SECONDS,
    )


async def schedule_of(connection: Connection, merchant_id: str) -> tuple[str, str, datetime] | None:
    """The merchant's schedule as (cron, timezone, next run), locked; None without one."""
    row = await connection.fetchrow(
        "SELECT cron, timezone, next_run_at FROM rfm.schedules WHERE merchant_id = $1 FOR UPDATE", merchant_id
    )
    return (row["cron"], row["timezone"], row["next_run_at"]) if row else None


async def set_next_run(connection: Connection, merchant_id: str, next_run_at: datetime) -> None:
    """Set when the merchant is refreshed next."""
    await connection.execute(
        "UPDATE rfm.schedules SET next_run_at = $2 WHERE merchant_id = $1", merchant_id, next_run_at
    )
