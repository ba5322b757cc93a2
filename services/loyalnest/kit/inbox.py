"""The inbox: which events a service has applied, written in the transaction that applies them."""

from collections.abc import Sequence

from loyalnest.kit.database import Connection, Database
from loyalnest.kit.events import Event
from loyalnest.kit.service import Job


async def take_new(connection: Connection, schema: str, events: Sequence[Event]) -> list[Event]:
    """Those of `events` that the service has not applied yet, each once and in their order; noted as applied.

    Two transactions with one event in common wait for each other here; the later one gets what the earlier left.
    """
    ordered = sorted({(event.merchant_id, event.id) for event in events})
    rows = await connection.fetch(
        f"""
        INSERT INTO {schema}.inbox (merchant_id, event_id)
        SELECT * FROM unnest($1::text[], $2::uuid[])
        ON CONFLICT DO NOTHING
        RETURNING merchant_id, event_id
        """,
        [merchant_id for merchant_id, _ in ordered],
        [event_id for _, event_id in ordered],
    )
    new = {(row["merchant_id"], row["event_id"]) for row in rows}
    taken: list[Event] = []
    for event in events:
        if (event.merchant_id, event.id) in new:
            new.discard((event.merchant_id, event.id))
            taken.append(event)
    return taken


def pruning(database: Database, keep_days: int) -> Job:
    """The job that keeps a service's inbox for `keep_days` (see Settings.remembered_days)."""

    async def run() -> int:
        async with database.worker() as connection:
            return await prune(connection, database.schema, keep_days)

    return Job("prune_inbox", every=3600, run=run)


async def prune(connection: Connection, schema: str, keep_days: int) -> int:
    """Forget events older than `keep_days`, which must exceed the topics' retention. Returns how many."""
    result: str = await connection.execute(
        f"DELETE FROM {schema}.inbox WHERE received_at < now() - make_interval(days => $1)", keep_days
    )
    return int(result.rpartition(" ")[2])
