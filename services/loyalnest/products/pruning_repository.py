"""All SQL of what is forgotten: deletions after a while, and words that no product has any more."""

from datetime import datetime
from typing import Final

from loyalnest.kit.database import Connection
from loyalnest.products.words import shortened

CHUNK: Final = 2_000
"""Terms that one transaction deletes."""


async def forget_deletions(connection: Connection, before: datetime) -> int:
    """Forget products that were deleted before a moment, of all merchants. Returns how many."""
    result: str = await connection.execute(
        "DELETE FROM products.products p WHERE p.merchant_id > '' AND p.deleted_at < $1", before
    )
    return int(result.rpartition(" ")[2])


async def merchants_with_unused_terms(connection: Connection) -> list[str]:
    """The merchants that have terms which no product has."""
    rows = await connection.fetch("SELECT DISTINCT t.merchant_id FROM products.terms t WHERE t.products = 0")
    return [row["merchant_id"] for row in rows]


async def delete_unused_terms(connection: Connection, merchant_id: str) -> int:
    """Delete some terms that no product has, and how they may be mistyped. Returns how many terms.

    The catalogue is locked, so that no writer is just about to use one.
    """
    await connection.execute("SELECT FROM products.catalogues c WHERE c.merchant_id = $1 FOR UPDATE", merchant_id)
    rows = await connection.fetch(
        f"""
        DELETE FROM products.terms t WHERE t.merchant_id = $1 AND t.term_id = ANY(ARRAY(
            SELECT n.term_id FROM products.terms n WHERE n.merchant_id = $1 AND n.products = 0 LIMIT {CHUNK}
        ))
        RETURNING t.kind, t.term
        """,
        merchant_id,
    )
    words = [row["term"] for row in rows if row["kind"] == "w"]
    spelled = [(spelling, word) for word in words for spelling in shortened(word)]
    await connection.execute(
        """
        DELETE FROM products.spellings s USING unnest($2::text[], $3::text[]) AS k(spelling, word)
        WHERE s.merchant_id = $1 AND s.spelling = k.spelling AND s.word = k.word
        """,
        merchant_id,
        [spelling for spelling, _ in spelled],
        [word for _, word in spelled],
    )
    return len(rows)
