"""All SQL of program settings: an append-only table of versions, of which the highest is in force."""

import json
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from loyalnest.kit.database import Connection
from loyalnest.kit.program import RulesManagedBy


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a merchant's rules. `rules` is their canonical JSON."""

    version: int
    rules: str
    rules_hash: str
    managed_by: RulesManagedBy
    changed_by: str
    changed_at: datetime
    note: str


_COLUMNS = "s.version, s.rules::text AS rules, s.rules_hash, s.managed_by, s.changed_by, s.changed_at, s.note"


async def current(connection: Connection, merchant_id: str) -> Version | None:
    """The version in force, or None before the first."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM core.program_settings s WHERE s.merchant_id = $1 ORDER BY s.version DESC LIMIT 1",
        merchant_id,
    )
    return None if row is None else _version(row)


async def versions(connection: Connection, merchant_id: str, before: int, limit: int) -> list[Version]:
    """Versions newest first, those below `before`."""
    rows = await connection.fetch(
        f"""
        SELECT {_COLUMNS} FROM core.program_settings s
        WHERE s.merchant_id = $1 AND s.version < $2 ORDER BY s.version DESC LIMIT $3
        """,
        merchant_id,
        before,
        limit,
    )
    return [_version(row) for row in rows]


async def append(connection: Connection, merchant_id: str, version: Version) -> bool:
    """Write a version. False if one of that number is there, also if it came at the same moment."""
    written = await connection.fetchval(
        """
        INSERT INTO core.program_settings
            (merchant_id, version, rules, rules_hash, managed_by, changed_by, changed_at, note)
        VALUES ($1, $2, $3::jsonb, $4, $5, $6, $7, $8)
        ON CONFLICT (merchant_id, version) DO NOTHING
        RETURNING version
        """,
        merchant_id,
        version.version,
        version.rules,
        version.rules_hash,
        version.managed_by.value,
        version.changed_by,
        version.changed_at,
        version.note,
    )
    return written is not None


def _version(row: asyncpg.Record) -> Version:
    values = dict(row)
    # jsonb has an order and spaces of its own; every decimal in rules is text, so nothing else is lost in it.
    rules = json.dumps(json.loads(values.pop("rules")), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return Version(rules=rules, managed_by=RulesManagedBy(values.pop("managed_by")), **values)
