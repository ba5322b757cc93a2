"""The keeper of services whose numbers must stay when a customer goes: rows go on under a pseudonym.

All of a customer's rows change hands in one transaction, so every sum over them stays what it was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.database import Connection
from loyalnest.kit.privacy import Counts, Redaction

CHUNK = 200
"""Customers of a shop that one transaction redacts."""

CUSTOMERS = "unnest($2::bigint[], $3::bigint[]) AS k(customer_id, pseudonym)"
"""For `changes`: the customers of a step, and what stands for them."""


@dataclass(frozen=True, slots=True)
class PseudonymisedRows:
    """A `Keeper`, told by a service's repository which SQL does it. $1 is always the merchant.

    locks: lock the rows of the customers $2, in the order in which the service locks them elsewhere.
    changes: put the pseudonyms $3 in place of the customers $2, by what the rows are; done in this order.
    following: up to $2 ids of customers who are left: those that are not negative.
    rows: those of the customers $2, each as JSON, by what they are.
    """

    locks: Sequence[str]
    changes: Mapping[str, str]
    following: str
    rows: Mapping[str, str]

    async def redact(self, connection: Connection, redaction: Redaction, customer_id: int) -> Counts:
        """Put a pseudonym in the customer's place."""
        return await self._redact(connection, redaction, [customer_id])

    async def redact_next(self, connection: Connection, redaction: Redaction) -> Counts:
        """Put pseudonyms in the places of the next customers."""
        left = await connection.fetch(self.following, redaction.merchant_id, CHUNK)
        return await self._redact(connection, redaction, [row["customer_id"] for row in left]) if left else {}

    async def held(
        self, connection: Connection, merchant_id: str, customer_id: int, keys: MerchantKeys | None
    ) -> Mapping[str, Sequence[Any]]:
        """The customer's rows of every table, as they are stored."""
        found: dict[str, Sequence[Any]] = {}
        for name, query in self.rows.items():
            found[name] = [
                msgspec.Raw(row[0].encode()) for row in await connection.fetch(query, merchant_id, [customer_id])
            ]
        return found

    async def _redact(self, connection: Connection, redaction: Redaction, customers: Sequence[int]) -> Counts:
        pseudonyms = [redaction.pseudonym(customer_id) for customer_id in customers]
        for lock in self.locks:
            await connection.execute(lock, redaction.merchant_id, customers)
        counts: Counts = {}
        for name, change in self.changes.items():
            result: str = await connection.execute(change, redaction.merchant_id, customers, pseudonyms)
            counts[name] = int(result.rpartition(" ")[2])
        return counts
