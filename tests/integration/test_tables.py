"""What every service's tables have in common, read from the catalogue after all migrations."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from loyalnest.kit.discovery import discover
from loyalnest.kit.migrations import migrate
from loyalnest.kit.placement import Placement
from loyalnest.kit.roles import request_role, worker_role

TABLES = """
SELECT n.nspname AS schema, c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS secured,
       c.relispartition AS partition,
       (SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = c.oid AND i.indisprimary) AS first_key,
       (SELECT a.attnotnull FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'merchant_id')
       AS merchant_given
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY($1::text[]) AND c.relkind IN ('r', 'p') AND c.relname <> 'alembic_version'
"""

GRANTS = """
SELECT n.nspname AS schema, c.relname AS name, coalesce(r.rolname, 'PUBLIC') AS grantee,
       string_agg(DISTINCT g.privilege_type, ' ') AS rights
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL aclexplode(c.relacl) g LEFT JOIN pg_roles r ON r.oid = g.grantee
WHERE n.nspname = ANY($1::text[]) AND g.grantee <> c.relowner
GROUP BY 1, 2, 3
"""

POLICIES = """
SELECT schemaname AS schema, tablename AS name, policyname AS policy, permissive, roles::text[] AS roles, qual,
       with_check AS given, (SELECT tableowner FROM pg_tables t
                             WHERE t.schemaname = p.schemaname AND t.tablename = p.tablename) AS owner
FROM pg_policies p WHERE schemaname = ANY($1::text[])
"""

OWN = "(merchant_id = current_setting('loyalnest.merchant_id'::text, true))"


class Catalogue:
    """What the catalogue says of the services' schemas."""

    def __init__(
        self, tables: list[asyncpg.Record], grants: list[asyncpg.Record], policies: list[asyncpg.Record]
    ) -> None:
        self.tables, self.grants, self.policies = tables, grants, policies


@pytest.fixture
async def catalogue(database_url: str) -> AsyncIterator[Catalogue]:
    services = discover()
    await migrate(Placement(database_url=database_url), services.values())
    schemas = [name for name, service in services.items() if service.migrations]
    connection = await asyncpg.connect(database_url)
    try:
        assert "points" in schemas
        yield Catalogue(*[await connection.fetch(query, schemas) for query in (TABLES, GRANTS, POLICIES)])
    finally:
        await connection.close()


async def test_every_table_belongs_to_merchants_and_is_guarded(catalogue: Catalogue) -> None:
    assert len(catalogue.tables) > 10
    whole = [table for table in catalogue.tables if not table["partition"]]
    assert [dict(table) for table in whole if not table["secured"]] == []
    assert [dict(table) for table in catalogue.tables if table["first_key"] != "merchant_id"] == []
    assert [dict(table) for table in catalogue.tables if not table["merchant_given"]] == []


async def test_only_a_services_own_roles_have_rights_and_no_more_than_rows(catalogue: Catalogue) -> None:
    strange = [
        dict(grant)
        for grant in catalogue.grants
        if grant["grantee"] not in {request_role(grant["schema"]), worker_role(grant["schema"])}
        or set(grant["rights"].split()) - {"SELECT", "INSERT", "UPDATE", "DELETE"}
        or grant["name"] == "alembic_version"
    ]
    assert strange == []
    readable = {(grant["schema"], grant["name"]) for grant in catalogue.grants if "SELECT" in grant["rights"]}
    tables = {(table["schema"], table["name"]) for table in catalogue.tables if not table["partition"]}
    assert tables - readable == set()
    unguarded = {
        (table["schema"], table["name"]) for table in catalogue.tables if table["partition"] and not table["secured"]
    }
    granted = {(grant["schema"], grant["name"]) for grant in catalogue.grants}
    assert unguarded & granted == set(), "a partition that may be read past its parent needs policies of its own"


async def test_policies_are_those_that_the_kit_makes(catalogue: Catalogue) -> None:
    wrong = []
    for policy in catalogue.policies:
        request, worker = [request_role(policy["schema"])], [worker_role(policy["schema"])]
        expected = {
            "own_merchant": (request, OWN, OWN),
            "every_merchant": (worker, "true", "true"),
            "owner_of_one_merchant": ([policy["owner"]], OWN, OWN),
        }
        if (policy["roles"], policy["qual"], policy["given"]) != expected.get(policy["policy"]):
            wrong.append(dict(policy))
    assert wrong == []
    guarded = {
        (policy["schema"], policy["name"]) for policy in catalogue.policies if policy["policy"] == "own_merchant"
    }
    whole = {(table["schema"], table["name"]) for table in catalogue.tables if not table["partition"]}
    assert whole == guarded
    assert whole == {(p["schema"], p["name"]) for p in catalogue.policies if p["policy"] == "owner_of_one_merchant"}


async def test_no_role_of_a_service_reaches_into_another_schema(catalogue: Catalogue, database_url: str) -> None:
    schemas = sorted({table["schema"] for table in catalogue.tables})
    connection = await asyncpg.connect(database_url)
    try:
        reach = {
            (role, schema)
            for owner in schemas
            for role in (request_role(owner), worker_role(owner))
            for schema in schemas
            if await connection.fetchval("SELECT has_schema_privilege($1, $2, 'USAGE')", role, schema)
        }
        assert reach == {(role, s) for s in schemas for role in (request_role(s), worker_role(s))}
        may_create = [
            role
            for owner in schemas
            for role in (request_role(owner), worker_role(owner))
            if await connection.fetchval("SELECT has_schema_privilege($1, $2, 'CREATE')", role, owner)
        ]
        assert may_create == []
    finally:
        await connection.close()
