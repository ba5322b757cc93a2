"""The whole product under the logins that the operator makes: acme as a process a service, brew as one process."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from e2e.platform import SeparatePlatform, eventually
from fixtures.guarded_postgres import execute, fetch, guarded_server, session
from fixtures.kafka import KafkaBroker
from loyalnest.kit.discovery import discover
from loyalnest.kit.embedded.postgres import EmbeddedPostgres
from loyalnest.kit.embedded.redis import EmbeddedRedis
from loyalnest.kit.errors import Forbidden
from loyalnest.kit.export import export_merchant
from loyalnest.kit.placement import Placement
from loyalnest.kit.roles import request_role, worker_role
from loyalnest_operator import names
from loyalnest_operator.databases import ensure_database
from loyalnest_operator.desired.addresses import login_url
from loyalnest_operator.facts import Generated
from loyalnest_operator.generated import new_data, read
from shopify.bodies import customer, line, order

__all__ = ["guarded_server"]

MERCHANTS = ("acme", "brew")


class Provisioned:
    """Both merchants' processes, and how to log in as any of them."""

    def __init__(self, admin: str, platform: SeparatePlatform, generated: dict[str, Generated]) -> None:
        self.admin, self.platform, self._generated = admin, platform, generated

    def url(self, merchant: str, purpose: str, database_of: str = "") -> str:
        url = login_url(self.admin, merchant, purpose, self._generated[merchant])
        return url.replace(f"@/{names.database(merchant)}", f"@/{names.database(database_of or merchant)}")


@pytest.fixture(scope="module")
async def provisioned(
    guarded_server: EmbeddedPostgres, redis_server: EmbeddedRedis, kafka_broker: KafkaBroker, server_folder: Path
) -> AsyncIterator[Provisioned]:
    """Databases as the operator makes them; migrated as `owner`, provisioned and served by the other logins."""
    root, services = guarded_server.url("postgres"), discover()
    await execute(root, "CREATE ROLE lesser_admin LOGIN CREATEDB CREATEROLE PASSWORD 'p'")
    admin = root.replace("postgres@", "lesser_admin:p@", 1)
    generated = {merchant: read(new_data(services)) for merchant in MERCHANTS}
    for merchant in MERCHANTS:
        await ensure_database(admin, merchant, generated[merchant], services.values())
    folder = Path(tempfile.mkdtemp(prefix="logins_", dir=server_folder))
    owners = {merchant: login_url(admin, merchant, "owner", generated[merchant]) for merchant in MERCHANTS}
    platform = SeparatePlatform(folder, list(services), owners, redis_server.url, kafka_broker.brokers)
    for label, process in platform.processes.items():
        merchant, purpose = ("brew", "app") if label == "brew" else ("acme", label)
        process._environment["LOYALNEST_DATABASE_URL"] = login_url(admin, merchant, purpose, generated[merchant])
        del process._environment["LOYALNEST_PROGRAMS"]  # a Job provisions, as in the cluster
    for merchant in MERCHANTS:
        for command in ("migrate", "migrate", "provision"):
            done = platform.command(merchant, command)
            assert done.returncode == 0, done.stderr
    try:
        platform.start()
        yield Provisioned(admin, platform, generated)
    finally:
        platform.stop()


async def test_an_order_goes_all_the_way_under_the_services_own_logins(provisioned: Provisioned) -> None:
    platform = provisioned.platform
    for merchant in MERCHANTS:
        body = customer()
        platform.accept(merchant, "customers/create", body)
        platform.accept(merchant, "orders/create", order(customer=body, lines=[line(price="49.99", quantity=2)]))

        def reached(merchant: str = merchant, customer_id: int = body["id"], email: str = body["email"]) -> None:
            assert platform.points(merchant, customer_id)["available"] > 0
            found = platform.get(merchant, f"/frontend/customers/{customer_id}")
            assert found["rfm"]["segment"]
            assert found["email"] == email

        eventually(reached, seconds=60)
        verified = platform.command(merchant, "verify", merchant)
        assert verified.returncode == 0, verified.stderr
        assert "all proven" in verified.stdout


async def test_the_sessions_are_those_logins(provisioned: Provisioned) -> None:
    rows = await fetch(
        provisioned.admin, "SELECT DISTINCT usename FROM pg_stat_activity WHERE starts_with(datname, 'loyalnest_')"
    )
    expected = {names.login("acme", service) for service in discover()} | {names.login("brew", "app")}
    assert {row[0] for row in rows} == expected


async def test_a_services_login_reads_no_other_services_tables(provisioned: Provisioned) -> None:
    async with session(provisioned.url("acme", "points")) as connection:
        for role in (request_role("core"), worker_role("core"), request_role("auth"), names.login("acme", "owner")):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"SET ROLE {role}")
        for role in ("NONE", request_role("points"), worker_role("points")):
            await connection.execute(f"SET ROLE {role}")
            for table in ("core.customers", "auth.data_keys", "rfm.customers"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(f"SELECT * FROM {table}")
        assert await connection.fetchval("SELECT count(*) FROM points.balances") > 0  # the worker role, at the end


@pytest.mark.parametrize("purpose", ["owner", "app"])
async def test_the_owner_and_the_app_may_export(provisioned: Provisioned, tmp_path: Path, purpose: str) -> None:
    placement = Placement(database_url=provisioned.url("acme", purpose))
    made = await export_merchant(placement, discover().values(), "acme", tmp_path / "out")
    assert {"auth", "core", "points", "rfm"} <= {table.service for table in made.tables if table.rows}


async def test_a_services_login_cannot_export_the_others(provisioned: Provisioned, tmp_path: Path) -> None:
    placement = Placement(database_url=provisioned.url("acme", "points"))
    with pytest.raises(Forbidden, match="Use that of owner"):
        await export_merchant(placement, discover().values(), "acme", tmp_path / "out")


@pytest.mark.parametrize("purpose", ["points", "owner", "app", "api_gateway"])
async def test_no_login_gets_into_another_programs_database(provisioned: Provisioned, purpose: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="CONNECT"):
        await fetch(provisioned.url("acme", purpose, database_of="brew"), "SELECT 1")
