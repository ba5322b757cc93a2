"""A service's own projection of the merchants' rules, by which it decides without asking anyone.

It is the table `<schema>.program_rules` (see `loyalnest.kit.migrations.create_program_rules`), seeded when a program is
provisioned and kept up to date by `settings.changed`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from loyalnest.kit.database import Connection
from loyalnest.kit.errors import NotFound
from loyalnest.kit.program import ProgramRules


@dataclass(frozen=True, slots=True)
class VersionedRules:
    """A merchant's rules and the version that decisions by them record."""

    version: int
    rules: ProgramRules


class RulesProjection:
    """The merchants' rules; parsed ones are kept by version, so that a batch parses none twice."""

    def __init__(self, schema: str) -> None:
        self._schema = schema
        self._parsed: dict[str, VersionedRules] = {}

    async def load(self, connection: Connection, merchants: Iterable[str]) -> Mapping[str, VersionedRules]:
        """The newest rules of each merchant. Raises NotFound naming a merchant that has none."""
        wanted = sorted(set(merchants))
        rows = await connection.fetch(
            f"""
            SELECT r.merchant_id, r.version, CASE WHEN r.version <> k.version THEN r.rules END AS rules
            FROM unnest($1::text[], $2::int[]) AS k(merchant_id, version)
            JOIN {self._schema}.program_rules r ON r.merchant_id = k.merchant_id
            """,
            wanted,
            [self._parsed[merchant].version if merchant in self._parsed else -1 for merchant in wanted],
        )
        for row in rows:
            if row["rules"] is not None:
                rules = ProgramRules.from_json(row["rules"])
                self._parsed[row["merchant_id"]] = VersionedRules(row["version"], rules)
        missing = set(wanted) - {row["merchant_id"] for row in rows}
        if missing:
            raise NotFound(f"No rules are known for {', '.join(sorted(missing))}: apply its LoyaltyProgram first.")
        return {merchant: self._parsed[merchant] for merchant in wanted}

    async def seed(self, connection: Connection, merchant_id: str, rules: ProgramRules) -> None:
        """Write version 1 for a merchant that has no rules yet."""
        await connection.execute(
            f"""
            INSERT INTO {self._schema}.program_rules (merchant_id, version, rules) VALUES ($1, 1, $2)
            ON CONFLICT (merchant_id) DO NOTHING
            """,
            merchant_id,
            rules.to_json(),
        )

    async def take(self, connection: Connection, changes: Iterable[tuple[str, int, bytes | msgspec.Raw]]) -> None:
        """Take in newer versions, given as (merchant_id, version, rules as JSON); older ones change nothing.

        Versions make it idempotent and independent of order. Raises InvalidInput for rules that this code cannot
        read: those before them stay in force.
        """
        newest: dict[str, tuple[int, str]] = {}
        for merchant_id, version, rules in changes:
            if version > newest.get(merchant_id, (0, ""))[0]:
                newest[merchant_id] = (version, ProgramRules.from_json(bytes(rules)).to_json())
        await connection.execute(
            f"""
            INSERT INTO {self._schema}.program_rules (merchant_id, version, rules)
            SELECT v.merchant_id, v.version, v.rules::jsonb
            FROM unnest($1::text[], $2::int[], $3::text[]) AS v(merchant_id, version, rules)
            ON CONFLICT (merchant_id) DO UPDATE SET version = excluded.version, rules = excluded.rules
            WHERE program_rules.version < excluded.version
            """,
            list(newest),
            [version for version, _ in newest.values()],
            [rules for _, rules in newest.values()],
        )
