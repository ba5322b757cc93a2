"""All SQL that reads customers for one merchant, under its request role."""

from collections.abc import Sequence
from dataclasses import dataclass

from loyalnest.core.models import Customer
from loyalnest.core.repository import SELECTED, customer_of
from loyalnest.kit.database import Connection


@dataclass(frozen=True, slots=True)
class Search:
    """What a customer may be found by; any of them is enough."""

    customer_id: int | None = None
    email_hash: bytes | None = None
    phone_hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """A merchant's customers, counted; `segments` holds those that were scored."""

    customers: int
    with_email: int
    accepting_marketing: int
    segments: Sequence[tuple[str, int]]
    to_reseal: int


async def customer(connection: Connection, merchant_id: str, customer_id: int) -> Customer | None:
    """One customer, redacted or not."""
    row = await connection.fetchrow(
        f"SELECT {SELECTED} FROM core.customers c WHERE c.merchant_id = $1 AND c.customer_id = $2",
        merchant_id,
        customer_id,
    )
    return None if row is None else customer_of(row)


async def of_ids(connection: Connection, merchant_id: str, customer_ids: Sequence[int]) -> list[Customer]:
    """The customers of `customer_ids` that are there and were not redacted."""
    rows = await connection.fetch(
        f"""
        SELECT {SELECTED} FROM core.customers c
        WHERE c.merchant_id = $1 AND c.customer_id = ANY($2::bigint[]) AND c.redacted_at IS NULL
        ORDER BY c.customer_id
        """,
        merchant_id,
        customer_ids,
    )
    return [customer_of(row) for row in rows]


async def customers(
    connection: Connection, merchant_id: str, segment: str, search: Search | None, after: int, limit: int
) -> list[Customer]:
    """Customers by ascending id above `after`, of `segment` if it is not empty, that `search` finds if there is one.

    Those who were redacted are not among them.
    """
    conditions = ["c.merchant_id = $1", "c.customer_id > $2", "c.redacted_at IS NULL"]
    values = [merchant_id, after, limit]
    if segment:
        conditions.append("c.segment = $4")
        values.append(segment)
    if search is not None:
        first = len(values)
        # Three index look-ups; an OR would make the planner walk the customers by id until the page is full.
        conditions.append(
            f"""
            c.customer_id IN (
                SELECT ${first + 1}::bigint
                UNION SELECT e.customer_id FROM core.customers e
                WHERE e.merchant_id = $1 AND e.email_hash = ${first + 2}::bytea
                UNION SELECT p.customer_id FROM core.customers p
                WHERE p.merchant_id = $1 AND p.phone_hash = ${first + 3}::bytea
            )
            """
        )
        values += [search.customer_id, search.email_hash, search.phone_hash]
    rows = await connection.fetch(
        f"SELECT {SELECTED} FROM core.customers c WHERE {' AND '.join(conditions)} ORDER BY c.customer_id LIMIT $3",
        *values,
    )
    return [customer_of(row) for row in rows]


async def counts(connection: Connection, merchant_id: str, key_version: int) -> Counts:
    """A merchant's customers counted, without those who were redacted; `to_reseal` are those with a field sealed before
    `key_version`.
    """
    rows = await connection.fetch(
        """
        SELECT c.segment, count(*) AS customers, count(c.email_hash) AS with_email,
               count(*) FILTER (WHERE c.accepts_marketing) AS accepting_marketing,
               count(*) FILTER (WHERE c.key_version < $2) AS to_reseal
        FROM core.customers c WHERE c.merchant_id = $1 AND c.redacted_at IS NULL
        GROUP BY c.segment ORDER BY c.segment
        """,
        merchant_id,
        key_version,
    )
    return Counts(
        customers=sum(row["customers"] for row in rows),
        with_email=sum(row["with_email"] for row in rows),
        accepting_marketing=sum(row["accepting_marketing"] for row in rows),
        segments=[(row["segment"], row["customers"]) for row in rows if row["segment"]],
        to_reseal=sum(row["to_reseal"] for row in rows),
    )
