"""Points' own projection of the merchants' rules, by which it decides without asking anyone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from loyalnest.kit.database import Connection
from loyalnest.kit.errors import NotFound
from loyalnest.kit.program import ProgramRules


@dataclass(frozen=True, slots=True)
class VersionedRules:
    """A merchant's rules and the version that decisions by them record."""

    version: int
    rules: ProgramRules

    def lot_times(self, now: datetime, *, approved: bool = False) -> tuple[datetime, datetime | None]:
        """When points granted now are available (at once if `approved` already), and when they expire (None: never)."""
        earning = self.rules.earning
        available_at = now if approved else now + timedelta(days=earning.approval_days)
        return available_at, None if earning.expiry_days is None else available_at + timedelta(days=earning.expiry_days)


class RulesProjection:
    """Reads and writes `points.program_rules`; parsed rules are kept by version, so that a batch parses none twice."""

    def __init__(self) -> None:
        self._parsed: dict[str, VersionedRules] = {}

    async def load(self, connection: Connection, merchants: Iterable[str]) -> Mapping[str, VersionedRules]:
        """The newest rules of each merchant. Raises NotFound naming a merchant that has none."""
        wanted = sorted(set(merchants))
        rows = await connection.fetch(
            """
            SELECT r.merchant_id, r.version, CASE WHEN r.version <> k.version THEN r.rules END AS rules
            FROM unnest($1::text[], $2::int[]) AS k(merchant_id, version)
            JOIN points.program_rules r ON r.merchant_id = k.merchant_id
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
            """
            INSERT INTO points.program_rules (merchant_id, version, rules) VALUES ($1, 1, $2)
            ON CONFLICT (merchant_id) DO NOTHING
            """,
            merchant_id,
            rules.to_json(),
        )

    async def advance(self, connection: Connection, changes: Iterable[tuple[str, int, str]]) -> None:
        """Take in newer versions, given as (merchant_id, version, rules as JSON); older ones change nothing."""
        newest: dict[str, tuple[int, str]] = {}
        for merchant_id, version, rules in changes:
            if version > newest.get(merchant_id, (0, ""))[0]:
                newest[merchant_id] = (version, rules)
        await connection.execute(
            """
            INSERT INTO points.program_rules (merchant_id, version, rules)
            SELECT v.merchant_id, v.version, v.rules::jsonb
            FROM unnest($1::text[], $2::int[], $3::text[]) AS v(merchant_id, version, rules)
            ON CONFLICT (merchant_id) DO UPDATE SET version = excluded.version, rules = excluded.rules
            WHERE program_rules.version < excluded.version
            """,
            list(newest),
            [version for version, _ in newest.values()],
            [rules for _, rules in newest.values()],
        )
