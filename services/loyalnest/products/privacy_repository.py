"""All SQL of privacy requests: nothing here is about customers; a shop that is redacted leaves nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.database import Connection
from loyalnest.kit.privacy import Counts, Redaction

CHUNK = 5_000
"""Rows that one transaction deletes."""

_TABLES = ("search", "products", "terms", "spellings", "product_import_logs", "catalogues")
"""In the order in which they are emptied."""


class ProductsKept:
    """The keeper of what belongs to a shop (see `loyalnest.kit.privacy`)."""

    async def redact(self, connection: Connection, redaction: Redaction, customer_id: int) -> Counts:
        """Nothing is kept about customers."""
        return {}

    async def redact_next(self, connection: Connection, redaction: Redaction) -> Counts:
        """Delete some more rows of the merchant. What is told after that of a shop that comes back is kept anew."""
        await connection.execute(
            "SELECT FROM products.catalogues c WHERE c.merchant_id = $1 FOR UPDATE", redaction.merchant_id
        )
        for table in _TABLES:
            result: str = await connection.execute(
                f"""
                DELETE FROM products.{table} t WHERE t.merchant_id = $1 AND t.ctid = ANY(ARRAY(
                    SELECT n.ctid FROM products.{table} n WHERE n.merchant_id = $1 LIMIT {CHUNK}
                ))
                """,
                redaction.merchant_id,
            )
            deleted = int(result.rpartition(" ")[2])
            if deleted:
                return {table: deleted}
        return {}

    async def held(
        self, connection: Connection, merchant_id: str, customer_id: int, keys: MerchantKeys | None
    ) -> Mapping[str, Sequence[Any]]:
        """Nothing is held about a customer."""
        return {}
