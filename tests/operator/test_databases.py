"""Databases and logins on a real PostgreSQL that asks for passwords, by a superuser and by a lesser admin."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from fixtures.guarded_postgres import admin_url, execute, fetch, guarded_server, service, session
from fixtures.machine import free_port
from loyalnest.kit.database import OUTAGES, with_parameters
from loyalnest.kit.embedded.postgres import EmbeddedPostgres
from loyalnest.kit.errors import InvalidInput, Unavailable
from loyalnest.kit.roles import request_role, worker_role
from loyalnest_operator import database_rights, names
from loyalnest_operator.databases import drop_database, ensure_database, exists
from loyalnest_operator.desired.addresses import login_url
from loyalnest_operator.facts import Generated
from loyalnest_operator.generated import complete, new_data, purposes, read

__all__ = ["admin_url", "guarded_server"]

WHO = "SELECT session_user::text, current_database()::text"


class World:
    """One program with services of its own, so that their server-wide roles are new to the server."""

    def __init__(self, admin: str, root: str) -> None:
        self.admin, self.root = admin, root
        self.name = f"p-{uuid.uuid4().hex[:12]}"
        self.first, self.second, self.edge = (f"s{uuid.uuid4().hex[:10]}" for _ in range(3))
        self.services = [service(self.first), service(self.second), service(self.edge, tables=False)]
        self.data = new_data(each.name for each in self.services)

    @property
    def generated(self) -> Generated:
        return read(self.data)

    def url(self, purpose: str, generated: Generated | None = None) -> str:
        return login_url(self.admin, self.name, purpose, generated or self.generated)

    def login(self, purpose: str) -> str:
        return names.login(self.name, purpose)

    async def ensure(self) -> bool:
        return await ensure_database(self.admin, self.name, self.generated, self.services)

    async def only_reads(self) -> bool:
        """Whether all is as it should be, asked where PostgreSQL refuses every write."""
        guarded = with_parameters(self.admin, {"default_transaction_read_only": "on"})
        return not await ensure_database(guarded, self.name, self.generated, self.services)

    async def may_become(self, purpose: str) -> set[str]:
        """The services' roles that a login gets by SET ROLE, tried out."""
        found = set()
        roles = [role(each.name) for each in self.services for role in (request_role, worker_role) if each.migrations]
        async with session(self.url(purpose)) as connection:
            for role in roles:
                try:
                    await connection.execute(f"SET ROLE {role}")
                except asyncpg.InsufficientPrivilegeError:
                    continue
                found.add(role)
        return found


@pytest.fixture
def world(admin_url: str, guarded_server: EmbeddedPostgres) -> World:
    return World(admin_url, guarded_server.url("postgres"))


async def test_each_login_gets_in_by_its_own_password_only(world: World) -> None:
    assert not await exists(world.admin, world.name)
    assert await world.ensure()
    assert await exists(world.admin, world.name)
    wrong = Generated("", dict.fromkeys(world.generated.passwords, "wrong"))
    for purpose in purposes(each.name for each in world.services):
        assert await fetch(world.url(purpose), WHO) == [(world.login(purpose), names.database(world.name))]
        with pytest.raises(asyncpg.InvalidPasswordError):
            await fetch(world.url(purpose, wrong), WHO)


async def test_what_is_as_it_should_be_is_only_read(world: World) -> None:
    assert await world.ensure()
    assert not await world.ensure()
    assert await world.only_reads()
    await execute(world.root, f"ALTER ROLE {world.login('app')} CREATEDB")
    with pytest.raises((InvalidInput, Unavailable), match="read-only"):
        await world.only_reads()


async def test_a_login_may_become_its_own_roles_and_has_no_rights_before(world: World) -> None:
    await world.ensure()
    first = {request_role(world.first), worker_role(world.first)}
    everything = first | {request_role(world.second), worker_role(world.second)}
    assert await world.may_become("owner") == everything
    assert await world.may_become("app") == everything
    assert await world.may_become(world.first) == first
    assert await world.may_become(world.edge) == set()
    await execute(world.url("owner"), f"CREATE TABLE t (x int); GRANT SELECT ON t TO {request_role(world.first)}")
    async with session(world.url(world.first)) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("SELECT * FROM t")
        await connection.execute(f"SET ROLE {request_role(world.first)}")
        await connection.execute("SELECT * FROM t")


async def test_only_the_owner_makes_schemas_and_nobody_has_power_over_the_server(world: World) -> None:
    await world.ensure()
    await execute(world.url("owner"), "CREATE SCHEMA one CREATE TABLE one.t (x int)")
    for purpose in ("app", world.first, world.edge):
        for statement in ("CREATE SCHEMA two", "CREATE TABLE public.t (x int)", "SELECT * FROM one.t"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await execute(world.url(purpose), statement)
    for purpose in ("owner", "app", world.first):
        for statement in ("CREATE ROLE sneaky", "CREATE DATABASE sneaky", f"SET ROLE {world.login('owner')}x"):
            with pytest.raises(asyncpg.PostgresError):
                await execute(world.url(purpose), statement)


async def test_no_other_program_gets_in(world: World) -> None:
    other = World(world.admin, world.root)
    await world.ensure()
    await other.ensure()
    for purpose in ("owner", "app", other.first):
        url = other.url(purpose).replace(f"@/{names.database(other.name)}", f"@/{names.database(world.name)}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="CONNECT"):
            await fetch(url, WHO)


async def test_rotated_passwords_are_set_and_the_old_ones_end(world: World) -> None:
    await world.ensure()
    before = world.generated
    world.data = complete(world.data, [each.name for each in world.services], "monday")
    assert await world.ensure()
    assert await world.only_reads()
    for purpose in ("owner", "app", world.first):
        await fetch(world.url(purpose), WHO)
        with pytest.raises(asyncpg.InvalidPasswordError):
            await fetch(world.url(purpose, before), WHO)


async def test_a_service_that_appears_gets_its_login_and_roles(world: World) -> None:
    await world.ensure()
    fresh = service(f"s{uuid.uuid4().hex[:10]}")
    world.services.append(fresh)
    world.data = complete(world.data, [each.name for each in world.services])
    assert await world.ensure()
    own = {request_role(fresh.name), worker_role(fresh.name)}
    assert await world.may_become(fresh.name) == own
    assert own < await world.may_become("owner")
    assert await world.only_reads()


async def test_what_was_changed_by_hand_is_put_right(guarded_server: EmbeddedPostgres) -> None:
    root = guarded_server.url("postgres")
    world = World(root, root)
    await world.ensure()
    app, first, edge = (f'"{world.login(purpose)}"' for purpose in ("app", world.first, world.edge))
    database = names.database(world.name)
    await execute(
        root,
        f"ALTER ROLE {app} NOLOGIN SUPERUSER CREATEDB CREATEROLE BYPASSRLS REPLICATION",
        f"GRANT {request_role(world.second)} TO {first}",
        f"GRANT {request_role(world.first)} TO {first} WITH INHERIT TRUE",
        f"REVOKE {worker_role(world.first)} FROM {first}",
        f"GRANT pg_read_all_data TO {edge}",
        f"GRANT ALL ON DATABASE {database} TO PUBLIC",
        f"REVOKE CONNECT ON DATABASE {database} FROM {edge}",
    )
    assert await world.ensure()
    assert await world.only_reads()
    assert await fetch(
        root, "SELECT rolcanlogin, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = $1", world.login("app")
    ) == [(True, False, False)]
    assert await world.may_become(world.first) == {request_role(world.first), worker_role(world.first)}
    inherited = "SELECT pg_has_role($1, $2, 'USAGE'), pg_has_role($3, 'pg_read_all_data', 'MEMBER')"
    assert await fetch(
        root, inherited, world.login(world.first), request_role(world.first), world.login(world.edge)
    ) == [(False, False)]
    await fetch(world.url(world.edge), WHO)


async def test_programs_may_be_made_at_the_same_time(world: World) -> None:
    programs = [World(world.admin, world.root) for _ in range(6)]
    for each in programs:  # new to the server, and wanted by all
        each.services, each.data = world.services, new_data(one.name for one in world.services)
        each.first, each.second, each.edge = world.first, world.second, world.edge
    assert await asyncio.gather(*(each.ensure() for each in programs)) == [True] * 6
    assert await asyncio.gather(*(each.only_reads() for each in programs)) == [True] * 6


class KilledError(BaseException):
    """Stands where a SIGKILL would have ended the operator."""


async def killed_at_every_statement(work: Callable[[], Awaitable[object]], patches: pytest.MonkeyPatch) -> int:
    """Run `work` again and again, dying before its first statement, its second … until it gets through."""
    execute = asyncpg.Connection.execute
    left = 0

    async def dying(connection: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal left
        if left == 0:
            connection.terminate()
            raise KilledError
        left -= 1
        return await execute(connection, *arguments, **options)

    for kills in range(1000):
        left = kills
        with patches.context() as patch:
            patch.setattr(asyncpg.Connection, "execute", dying)
            try:
                await work()
            except (KilledError, Unavailable):
                assert left == 0, "only what was killed may fail"
                continue
            return kills
    raise AssertionError("it never gets through")


async def test_what_a_killed_operator_began_is_finished(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await killed_at_every_statement(world.ensure, monkeypatch) > 10
    assert await world.only_reads()
    await fetch(world.url("app"), WHO)
    assert await killed_at_every_statement(lambda: drop_database(world.admin, world.name), monkeypatch) > 5
    assert not await exists(world.admin, world.name)


async def test_a_database_that_is_somebody_elses_is_left_alone(world: World) -> None:
    database = names.database(world.name)
    await execute(world.root, f"CREATE DATABASE {database}")
    with pytest.raises(InvalidInput, match=f"{database} that belongs to postgres: rename it") as refused:
        await world.ensure()
    assert f'ALTER DATABASE "{database}" OWNER TO' in refused.value.detail
    with pytest.raises(InvalidInput, match="belongs to postgres"):
        await drop_database(world.admin, world.name)
    assert await exists(world.admin, world.name)
    await execute(world.root, f"DROP DATABASE {database}")
    assert await world.ensure()


async def test_a_role_that_is_somebody_elses_is_left_alone(world: World) -> None:
    login = world.login(world.first)
    await execute(world.root, f"CREATE ROLE {login} LOGIN PASSWORD 'theirs'")
    with pytest.raises(InvalidInput, match=f"{login} that was not made for this program"):
        await world.ensure()
    await execute(world.root, f"DROP ROLE {login}")
    assert await world.ensure()


async def test_names_cannot_inject(admin_url: str, guarded_server: EmbeddedPostgres) -> None:
    for name in ('x"; DROP DATABASE postgres; --', "x'; DROP ROLE postgres; --", "x$$y\\'", "ÿ é"):
        world = World(admin_url, guarded_server.url("postgres"))
        world.name = name + uuid.uuid4().hex[:4]
        assert await world.ensure()
        assert await fetch(world.url("app"), WHO) == [(world.login("app"), names.database(world.name))]
        assert await world.only_reads()
        await drop_database(world.admin, world.name)
        assert not await exists(world.admin, world.name)


async def test_dropping_ends_sessions_and_takes_the_logins_and_leaves_the_rest(world: World) -> None:
    other = World(world.admin, world.root)
    other.name = f"{world.name}-two"
    await world.ensure()
    await other.ensure()
    await execute(world.url("owner"), "CREATE SCHEMA s CREATE TABLE s.t (x int)")
    async with session(world.url("app")) as app, session(world.url(world.first)) as first:
        await drop_database(world.admin, world.name)
        for connection in (app, first):
            with pytest.raises(OUTAGES):
                await connection.execute("SELECT 1")
    assert not await exists(world.admin, world.name)
    roles = "SELECT rolname FROM pg_roles WHERE rolname = ANY($1::text[]) ORDER BY 1"
    logins = [world.login(purpose) for purpose in purposes(each.name for each in world.services)]
    assert await fetch(world.root, roles, logins) == []
    shared = sorted([request_role(world.first), worker_role(world.first)])
    assert await fetch(world.root, roles, shared) == [(role,) for role in shared]
    assert await other.only_reads()
    await fetch(other.url("app"), WHO)
    await drop_database(world.admin, world.name)  # again
    assert await world.ensure()  # and back


async def test_a_drop_that_cannot_be_finished_says_why_and_goes_on_later(world: World) -> None:
    other = World(world.admin, world.root)
    await world.ensure()
    await other.ensure()
    elsewhere = world.root.replace("/postgres?", f"/{names.database(other.name)}?")
    await execute(elsewhere, f'CREATE TABLE kept (x int); ALTER TABLE kept OWNER TO "{world.login("owner")}"')
    with pytest.raises(InvalidInput, match=f"{world.login('owner')}.*{names.database(other.name)}"):
        await drop_database(world.admin, world.name)
    await execute(elsewhere, "DROP TABLE kept")
    await drop_database(world.admin, world.name)
    assert not await exists(world.admin, world.name)
    await drop_database(world.admin, other.name)


async def test_an_admin_without_the_rights_is_told_which(guarded_server: EmbeddedPostgres) -> None:
    root = guarded_server.url("postgres")
    weak, made_by_root = f"weak_{uuid.uuid4().hex[:12]}", World(root, root)
    await execute(root, f"CREATE ROLE {weak} LOGIN PASSWORD 'p'")
    url = root.replace("postgres@", f"{weak}:p@", 1)
    with pytest.raises(InvalidInput, match="has to be a superuser, or have CREATEDB, CREATEROLE"):
        await World(url, root).ensure()
    await execute(root, f"ALTER ROLE {weak} CREATEDB CREATEROLE")
    await made_by_root.ensure()  # the services' roles are another's now
    lesser = World(url, root)
    lesser.services, lesser.data = made_by_root.services, made_by_root.data
    role = request_role(made_by_root.first)
    with pytest.raises(InvalidInput, match=r"loyalnest_.*_request.*WITH ADMIN OPTION"):
        await lesser.ensure()
    roles = ", ".join(database_rights.wanted(lesser.name, lesser.generated, lesser.services).service_roles)
    assert role in roles
    await execute(root, f"GRANT {roles} TO {weak} WITH ADMIN OPTION")
    assert await lesser.ensure()


async def test_an_outage_and_a_wrong_address_have_words() -> None:
    generated = read(new_data([]))
    nowhere = f"postgresql://admin:secret@127.0.0.1:{free_port()}/postgres"
    with pytest.raises(Unavailable, match="cannot be reached") as away:
        await ensure_database(nowhere, "acme", generated, [])
    assert "secret" not in away.value.detail
    with pytest.raises(InvalidInput, match="LOYALNEST_OPERATOR_POSTGRES_URL"):
        await exists("http://not-postgres/", "acme")


async def test_a_wrong_password_of_the_admin_has_words(guarded_server: EmbeddedPostgres) -> None:
    root = guarded_server.url("postgres")
    await execute(root, "CREATE ROLE locked_out LOGIN PASSWORD 'right'")
    with pytest.raises(InvalidInput, match="refuses the operator's login") as refused:
        await exists(root.replace("postgres@", "locked_out:wrong@", 1), "acme")
    assert "wrong" not in refused.value.detail


async def test_a_password_that_was_never_generated_is_named() -> None:
    with pytest.raises(InvalidInput, match="No password was generated for points"):
        database_rights.wanted("acme", read(new_data([])), [service("points")])


async def test_postgresql_away_and_back(server_folder: object, guarded_server: EmbeddedPostgres) -> None:
    root = guarded_server.url("postgres")
    world = World(root, root)
    await asyncio.to_thread(guarded_server.stop)
    with pytest.raises(Unavailable, match="cannot be reached"):
        await world.ensure()
    await asyncio.to_thread(guarded_server.start)
    world.admin = world.root = guarded_server.url("postgres")
    assert await world.ensure()
