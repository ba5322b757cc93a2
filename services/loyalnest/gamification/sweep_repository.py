"""All SQL of the sweeps, under the worker role: how far the look at all of a merchant's customers has come."""

from collections.abc import Iterable
from dataclasses import dataclass

from loyalnest.kit.database import Connection


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep under way, locked. It goes on after `after_customer` and answers the requests up to `running`."""

    merchant_id: str
    running: int
    after_customer: int


async def request(connection: Connection, merchants: Iterable[str]) -> None:
    """Have all customers of the merchants looked at anew, once those who are being looked at are done."""
    await connection.execute(
        """
        INSERT INTO gamification.sweeps AS s (merchant_id, requested)
        SELECT k.merchant_id, 1 FROM unnest($1::text[]) AS k(merchant_id)
        ON CONFLICT (merchant_id) DO UPDATE SET requested = s.requested + 1
        """,
        sorted(set(merchants)),
    )


async def seed(connection: Connection, merchant_id: str) -> bool:
    """Make the merchant's row, asking for no sweep. Returns whether it is new here."""
    row = await connection.fetchrow(
        """
        INSERT INTO gamification.sweeps (merchant_id, requested) VALUES ($1, 0) ON CONFLICT DO NOTHING
        RETURNING merchant_id
        """,
        merchant_id,
    )
    return row is not None


async def open_sweeps(connection: Connection) -> list[str]:
    """The merchants whose customers are to be looked at anew."""
    rows = await connection.fetch(
        "SELECT merchant_id FROM gamification.sweeps WHERE requested > finished ORDER BY merchant_id"
    )
    return [row["merchant_id"] for row in rows]


async def take(connection: Connection, merchant_id: str) -> Sweep | None:
    """Lock the merchant's sweep; None if none is asked for. One that begins answers every request so far.

    While it is locked here, a request waits, and counts for the next sweep: the chunk may not have seen its cause.
    """
    row = await connection.fetchrow(
        """
        UPDATE gamification.sweeps s SET running = CASE WHEN s.running > s.finished THEN s.running ELSE s.requested END
        WHERE s.merchant_id = $1 AND s.requested > s.finished
        RETURNING s.merchant_id, s.running, s.after_customer
        """,
        merchant_id,
    )
    return None if row is None else Sweep(row["merchant_id"], row["running"], row["after_customer"])


async def next_customers(connection: Connection, sweep: Sweep, limit: int) -> list[int]:
    """The customers who come next, by id; no pseudonyms."""
    rows = await connection.fetch(
        """
        SELECT c.customer_id FROM gamification.customers c
        WHERE c.merchant_id = $1 AND c.customer_id > $2 ORDER BY c.customer_id LIMIT $3
        """,
        sweep.merchant_id,
        sweep.after_customer,
        limit,
    )
    return [row["customer_id"] for row in rows]


async def advance(connection: Connection, sweep: Sweep, after_customer: int) -> None:
    """Note how far the sweep is."""
    await connection.execute(
        "UPDATE gamification.sweeps s SET after_customer = $2 WHERE s.merchant_id = $1",
        sweep.merchant_id,
        after_customer,
    )


async def finish(connection: Connection, sweep: Sweep) -> None:
    """Note that every customer was looked at; requests that came meanwhile begin another sweep."""
    await connection.execute(
        "UPDATE gamification.sweeps s SET finished = $2, after_customer = 0 WHERE s.merchant_id = $1",
        sweep.merchant_id,
        sweep.running,
    )


async def deleted_badges(connection: Connection) -> list[tuple[str, str]]:
    """(merchant_id, badge_key) of the deleted badges that are not gone yet."""
    rows = await connection.fetch(
        "SELECT merchant_id, badge_key FROM gamification.badges WHERE deleted ORDER BY merchant_id, badge_key"
    )
    return [(row["merchant_id"], row["badge_key"]) for row in rows]


async def next_holders(connection: Connection, merchant_id: str, badge_key: str, limit: int) -> list[int]:
    """Customers of whom something is kept about the badge, pseudonyms among them."""
    rows = await connection.fetch(
        """
        SELECT b.customer_id FROM gamification.customer_badges b
        WHERE b.merchant_id = $1 AND b.badge_key = $2 ORDER BY b.customer_id LIMIT $3
        """,
        merchant_id,
        badge_key,
        limit,
    )
    return [row["customer_id"] for row in rows]


async def drop_holdings(connection: Connection, merchant_id: str, badge_key: str, customers: list[int]) -> list[int]:
    """Delete what is kept of locked customers about the badge. Returns who held it, sorted."""
    rows = await connection.fetch(
        """
        DELETE FROM gamification.customer_badges b
        WHERE b.merchant_id = $1 AND b.badge_key = $2 AND b.customer_id = ANY($3::bigint[])
        RETURNING b.customer_id, b.held
        """,
        merchant_id,
        badge_key,
        customers,
    )
    return sorted(row["customer_id"] for row in rows if row["held"])


async def deleted_badge_title(connection: Connection, merchant_id: str, badge_key: str) -> str | None:
    """The title of a deleted badge, locked; None once it is gone."""
    title: str | None = await connection.fetchval(
        """
        SELECT b.title FROM gamification.badges b
        WHERE b.merchant_id = $1 AND b.badge_key = $2 AND b.deleted FOR UPDATE
        """,
        merchant_id,
        badge_key,
    )
    return title


async def drop_badge(connection: Connection, merchant_id: str, badge_key: str) -> None:
    """Delete the row of a deleted badge."""
    await connection.execute(
        "DELETE FROM gamification.badges b WHERE b.merchant_id = $1 AND b.badge_key = $2 AND b.deleted",
        merchant_id,
        badge_key,
    )


async def known_rules(connection: Connection, merchants: Iterable[str]) -> list[str]:
    """Those of the merchants whose rules are known, which stay what they are until this transaction ends."""
    rows = await connection.fetch(
        """
        SELECT merchant_id FROM gamification.program_rules
        WHERE merchant_id = ANY($1::text[]) ORDER BY merchant_id FOR UPDATE
        """,
        sorted(merchants),
    )
    return [row["merchant_id"] for row in rows]
