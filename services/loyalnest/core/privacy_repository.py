"""All SQL of privacy requests: what core keeps about customers is erased or exported."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from loyalnest.core import listing_repository
from loyalnest.core.models import PERSONAL, Customer, Source
from loyalnest.core.sealing import open_field
from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.database import Connection
from loyalnest.kit.errors import Unavailable
from loyalnest.kit.privacy import Counts, Redaction

CHUNK = 1000
"""Customers of a shop that one transaction erases."""

_ERASED = ", ".join(
    f"{name} = NULL"
    for name in (
        *(f"{field}_{part}" for field in PERSONAL for part in ("sealed", "hash", "at")),
        *("accepts_marketing", "marketing_at", "locale", "locale_at", "key_version", "created_at", "rfm_updated_at"),
    )
)
_PLAIN = ("source", "accepts_marketing", "locale", "created_at", "first_seen_at", "updated_at")
_SCORES = ("recency", "frequency", "monetary", "segment", "rfm_updated_at")


class CustomersKept:
    """The keeper of core's customers (see `loyalnest.kit.privacy`). The log of imports holds nothing about anybody."""

    async def redact(self, connection: Connection, redaction: Redaction, customer_id: int) -> Counts:
        """Erase all but the id and the time. An unknown id gets such a row too, so that nothing on its way stays."""
        made = await connection.fetchval(
            f"""
            INSERT INTO core.customers AS c (merchant_id, customer_id, source, first_seen_at, updated_at, redacted_at)
            VALUES ($1, $2, $3, $4, $4, $4)
            ON CONFLICT (merchant_id, customer_id) DO UPDATE
            SET {_ERASED}, recency = 0, frequency = 0, monetary = 0, segment = '', source = excluded.source,
                first_seen_at = excluded.first_seen_at, updated_at = excluded.updated_at,
                redacted_at = excluded.redacted_at
            WHERE c.redacted_at IS NULL
            RETURNING c.xmax = 0
            """,
            redaction.merchant_id,
            customer_id,
            Source.REDACTION,
            redaction.at,
        )
        return {"customers": int(made is False)}

    async def redact_next(self, connection: Connection, redaction: Redaction) -> Counts:
        """Delete the next customers. Those who were redacted one by one stay so; a shop that comes back begins anew."""
        # As an array, the sub-select runs once; under IN it may run for every row, and its limit then limits nothing.
        result: str = await connection.execute(
            """
            DELETE FROM core.customers c
            WHERE c.merchant_id = $1 AND c.customer_id = ANY(ARRAY(
                SELECT n.customer_id FROM core.customers n
                WHERE n.merchant_id = $1 AND n.redacted_at IS NULL ORDER BY n.customer_id LIMIT $2
                FOR UPDATE
            ))
            """,
            redaction.merchant_id,
            CHUNK,
        )
        erased = int(result.rpartition(" ")[2])
        return {"customers": erased} if erased else {}

    async def held(
        self, connection: Connection, merchant_id: str, customer_id: int, keys: MerchantKeys | None
    ) -> Mapping[str, Sequence[Any]]:
        """The customer in the clear. Raises Unavailable if a field is sealed under a younger key than `keys` have."""
        found = await listing_repository.customer(connection, merchant_id, customer_id)
        if found is None or found.redacted_at is not None:
            return {"customers": []}
        if keys is not None and found.newest_key_version > keys.current.version:
            raise Unavailable("The merchant's keys were rotated just now.")
        return {"customers": [_in_the_clear(found, keys)]}


def _in_the_clear(customer: Customer, keys: MerchantKeys | None) -> dict[str, Any]:
    sealed = {name: field.sealed for name, field in customer.personal.items()}
    clear = {name: None if each is None else open_field(keys, name, each) for name, each in sealed.items()}
    addresses = clear.pop("addresses")
    return {
        "customer_id": str(customer.customer_id),
        **clear,
        "addresses": [] if addresses is None else msgspec.Raw(addresses.encode()),
        **{name: getattr(customer, name) for name in (*_PLAIN, *_SCORES)},
    }
