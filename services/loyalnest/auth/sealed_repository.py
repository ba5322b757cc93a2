"""All SQL that seals auth's columns anew. A purpose is the name of its column: auth.merchants.api_secret."""

from collections.abc import Sequence
from typing import NamedTuple

from loyalnest.auth.keys import ACCESS_TOKEN, ADMIN_NAME, API_SECRET, API_SECRET_PREVIOUS, REFRESH_TOKEN
from loyalnest.kit.database import Connection

# A sealed value's second to fifth bytes are its key's version as int4send writes it (loyalnest.kit.crypto.envelope).
_OLDER = "substring(v.sealed FROM 2 FOR 4) < int4send"

SEALED = (API_SECRET, API_SECRET_PREVIOUS, ACCESS_TOKEN, REFRESH_TOKEN, ADMIN_NAME)


class SealedValue(NamedTuple):
    """One value as it is stored, and what it is sealed for."""

    purpose: str
    sealed: bytes


def _values() -> str:
    parts = [purpose.rpartition(".") for purpose in SEALED]
    return " UNION ALL ".join(
        f"SELECT t.merchant_id, '{table}.{column}' AS purpose, t.{column} AS sealed FROM {table} t"
        for table, _, column in parts
    )


async def merchants_sealed_before(connection: Connection) -> list[str]:
    """The merchants with a value under an older data key than their newest, under the worker role."""
    rows = await connection.fetch(
        f"""
        SELECT DISTINCT v.merchant_id
        FROM ({_values()}) v
        JOIN (
            SELECT d.merchant_id, max(d.version) AS version FROM auth.data_keys d
            WHERE d.purpose = 'data' GROUP BY d.merchant_id
        ) k ON k.merchant_id = v.merchant_id
        WHERE {_OLDER}(k.version)
        ORDER BY v.merchant_id
        """
    )
    return [row["merchant_id"] for row in rows]


async def sealed_before(connection: Connection, merchant_id: str, version: int) -> list[SealedValue]:
    """The merchant's values under an older data key than `version`."""
    rows = await connection.fetch(
        f"""
        SELECT v.purpose, v.sealed FROM ({_values()}) v
        WHERE v.merchant_id = $1 AND {_OLDER}($2)
        """,
        merchant_id,
        version,
    )
    return [SealedValue(*row.values()) for row in rows]


async def replace_sealed(
    connection: Connection, merchant_id: str, purpose: str, old: Sequence[bytes], new: Sequence[bytes]
) -> int:
    """Put each of `new` in the place of its `old`; a value that was written anew meanwhile stays. Returns how many.

    No two sealed values are equal, so each names its row.
    """
    table, _, column = purpose.rpartition(".")
    result: str = await connection.execute(
        f"""
        UPDATE {table} t SET {column} = n.new
        FROM unnest($2::bytea[], $3::bytea[]) AS n(old, new)
        WHERE t.merchant_id = $1 AND t.{column} = n.old
        """,
        merchant_id,
        old,
        new,
    )
    return int(result.rpartition(" ")[2])
