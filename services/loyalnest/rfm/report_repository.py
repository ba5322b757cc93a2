"""All SQL that reads scores and segments for one merchant, under its request role."""

from datetime import date

from loyalnest.kit.database import Connection
from loyalnest.rfm.models import Cell, CustomerScores, DayCount, Movement, RefreshState

_SCORES = """
    customer_id, orders, monetary, last_order_at, recency_score AS recency, frequency_score AS frequency,
    monetary_score, segment, as_of
"""


async def grid(connection: Connection, merchant_id: str) -> list[Cell]:
    """The scored customers by cell; cells without any are left out."""
    rows = await connection.fetch(
        """
        SELECT recency_score AS recency, frequency_score AS frequency, count(*) AS customers, sum(monetary) AS revenue
        FROM rfm.customers WHERE merchant_id = $1 AND recency_score > 0
        GROUP BY recency_score, frequency_score ORDER BY recency_score, frequency_score
        """,
        merchant_id,
    )
    return [Cell(**row) for row in rows]


async def state(connection: Connection, merchant_id: str) -> RefreshState:
    """The merchant's schedule and last refresh."""
    row = await connection.fetchrow(
        """
        SELECT coalesce(s.cron, '') AS cron, coalesce(s.timezone, 'UTC') AS timezone,
               coalesce(s.settings_version, 0) AS settings_version, s.next_run_at, p.refreshed_at,
               coalesce(p.population, 0) AS population
        FROM (VALUES ($1)) AS k(merchant_id)
        LEFT JOIN rfm.schedules s ON s.merchant_id = k.merchant_id
        LEFT JOIN rfm.cut_points p ON p.merchant_id = k.merchant_id
        """,
        merchant_id,
    )
    assert row is not None
    return RefreshState(**row)


async def scores(connection: Connection, merchant_id: str, customer_id: int) -> CustomerScores | None:
    """A customer's scores, or None for one who never ordered."""
    row = await connection.fetchrow(
        f"SELECT {_SCORES} FROM rfm.customers WHERE merchant_id = $1 AND customer_id = $2", merchant_id, customer_id
    )
    return CustomerScores(**row) if row else None


async def customers_of(
    connection: Connection, merchant_id: str, segment: str, after: int, limit: int
) -> list[CustomerScores]:
    """Customers of a segment by id, those after the id `after`."""
    rows = await connection.fetch(
        f"""
        SELECT {_SCORES} FROM rfm.customers
        WHERE merchant_id = $1 AND segment = $2 AND customer_id > $3 ORDER BY customer_id LIMIT $4
        """,
        merchant_id,
        segment,
        after,
        limit,
    )
    return [CustomerScores(**row) for row in rows]


async def history(connection: Connection, merchant_id: str, first: date, last: date) -> list[DayCount]:
    """The counts of the refreshes on the local days from `first` to `last`."""
    rows = await connection.fetch(
        """
        SELECT counted_on AS day, segment, customers, revenue FROM rfm.rfm_segment_counts
        WHERE merchant_id = $1 AND counted_on BETWEEN $2 AND $3 ORDER BY counted_on, segment
        """,
        merchant_id,
        first,
        last,
    )
    return [DayCount(**row) for row in rows]


async def movements(connection: Connection, merchant_id: str, timezone: str, first: date, last: date) -> list[Movement]:
    """How often customers went from one segment to another on the local days from `first` to `last`."""
    rows = await connection.fetch(
        """
        SELECT from_segment, to_segment, count(*) AS times FROM rfm.rfm_segment_deltas
        WHERE merchant_id = $1
          AND changed_at >= ($2::date::timestamp AT TIME ZONE $4)
          AND changed_at < (($3::date + 1)::timestamp AT TIME ZONE $4)
        GROUP BY from_segment, to_segment ORDER BY count(*) DESC, from_segment, to_segment
        """,
        merchant_id,
        first,
        last,
        timezone,
    )
    return [Movement(**row) for row in rows]
