"""A program's PostgreSQL database and logins, from outside the cluster: made, put right, dropped.

The admin login is a superuser, or has CREATEDB and CREATEROLE. What is as it should be is only read.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

import asyncpg

from loyalnest.kit.database import OUTAGES, Connection, without_password
from loyalnest.kit.errors import InvalidInput, Unavailable
from loyalnest.kit.service import Service
from loyalnest_operator import database_rights, names
from loyalnest_operator.database_rights import Access, Membership, Rights, Role, Wanted, identifier
from loyalnest_operator.facts import Generated
from loyalnest_operator.generated import OWNER

CONNECT_SECONDS = 10.0
COMMAND_SECONDS = 120.0
"""A database is a copy of its template, which may take a while on a busy server."""
OLDEST = 16
"""Version of PostgreSQL since which a membership can be granted without being inherited."""

_PASSING: tuple[type[Exception], ...] = (
    *OUTAGES,
    asyncpg.ObjectInUseError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby, while another server becomes the primary
)

_ROLES = """
SELECT rolname, rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls,
       coalesce(shobj_description(oid, 'pg_authid'), '') AS comment
FROM pg_roles WHERE rolname = ANY($1::text[])
"""

_MEMBERSHIPS = """
SELECT r.rolname AS role, m.rolname AS member, g.rolname AS grantor,
       a.set_option AND NOT a.inherit_option AS plain
FROM pg_auth_members a
JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member JOIN pg_roles g ON g.oid = a.grantor
WHERE m.rolname = ANY($1::text[]) OR (m.rolname = $2 AND r.rolname = $3)
"""

_ACCESS = """
SELECT pg_get_userbyid(d.datdba) AS owner,
       coalesce(bool_or(a.grantee = 0), false) AS public,
       coalesce(array_agg(pg_get_userbyid(a.grantee)) FILTER (WHERE a.privilege_type = 'CONNECT'), '{}')::text[]
       AS logins
FROM pg_database d LEFT JOIN LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a ON true
WHERE d.datname = $1
GROUP BY d.datdba
"""

_LOGINS_OF = """
SELECT rolname FROM pg_roles WHERE starts_with(shobj_description(oid, 'pg_authid'), $1) ORDER BY rolname
"""


async def ensure_database(admin_url: str, program: str, generated: Generated, services: Iterable[Service]) -> bool:
    """Bring the database of `program`, its logins and their rights to what they should be.

    Returns whether anything had to be changed. Safe to stop anywhere and to run again. Raises Unavailable while
    PostgreSQL is away or busy, InvalidInput for what a person has to put right.
    """
    want = database_rights.wanted(program, generated, services)
    async with _admin(admin_url) as connection:
        found = await _rights(connection, want)
        shared = database_rights.missing_service_roles(want, found)
        statements = database_rights.role_statements(want, found)
        access = await _access(connection, want.database)
        if access is not None:
            database_rights.check_owner(want.owner, want.database, access.owner)
        for statement in shared:  # in one transaction they would hold up every other program
            await connection.execute(statement)
        await _run(connection, statements)
        made = access is None
        if access is None:
            owner = identifier(want.owner)
            await connection.execute(f"CREATE DATABASE {identifier(want.database)} OWNER {owner}")
            access = Access(want.owner, public=True, logins=frozenset({want.owner}))
        grants = database_rights.database_statements(want, access)
        if grants:
            await _run(connection, [f"SET LOCAL ROLE {identifier(want.owner)}", *grants])
    return made or bool(shared or statements or grants)


async def drop_database(admin_url: str, program: str) -> None:
    """Drop the database of `program` with whoever is connected to it, and its logins. Done already is fine.

    The services' roles stay: they belong to every program of the server. Raises as `ensure_database` does.
    """
    database = names.database(program)
    async with _admin(admin_url) as connection:
        found = await connection.fetch(_LOGINS_OF, database_rights.mark_of(program))
        logins = [identifier(row["rolname"]) for row in found]
        access = await _access(connection, database)
        if access is not None:
            database_rights.check_owner(names.login(program, OWNER), database, access.owner)
        # So that nobody comes back meanwhile; and an admin who is no superuser may only end sessions of, and drop
        # what belongs to, logins whose rights it has.
        locked = [f"ALTER ROLE {login} NOLOGIN" for login in logins]
        if logins and not await _is_superuser(connection):
            locked.append(f"GRANT {', '.join(logins)} TO CURRENT_USER WITH INHERIT TRUE, SET TRUE")
        await _run(connection, locked)
        if access is not None:
            await connection.execute(f"DROP DATABASE IF EXISTS {identifier(database)} WITH (FORCE)")
        await _run(connection, [f"DROP ROLE IF EXISTS {login}" for login in logins])


async def exists(admin_url: str, program: str) -> bool:
    """Whether there is a database of the name that `program` has. Raises as `ensure_database` does."""
    async with _admin(admin_url) as connection:
        return await _access(connection, names.database(program)) is not None


async def _rights(connection: Connection, want: Wanted) -> Rights:
    roles = await connection.fetch(_ROLES, [*want.passwords, *want.service_roles])
    admin = await connection.fetchval("SELECT current_user::text")
    memberships = await connection.fetch(_MEMBERSHIPS, list(want.passwords), admin, want.owner)
    return Rights(
        admin=admin,
        superuser=await _is_superuser(connection),
        roles={row["rolname"]: _role(row) for row in roles},
        memberships=[Membership(**row) for row in memberships],
    )


def _role(row: asyncpg.Record) -> Role:
    powers = frozenset(name for name, value in row.items() if name != "rolcanlogin" and value is True)
    return Role(login=row["rolcanlogin"], powers=powers, comment=row["comment"])


async def _access(connection: Connection, database: str) -> Access | None:
    row = await connection.fetchrow(_ACCESS, database)
    return Access(row["owner"], row["public"], frozenset(row["logins"])) if row else None


async def _is_superuser(connection: Connection) -> bool:
    return bool(await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"))


async def _run(connection: Connection, statements: Sequence[str]) -> None:
    if statements:
        async with connection.transaction():
            for statement in statements:
                await connection.execute(statement)


@asynccontextmanager
async def _admin(url: str) -> AsyncIterator[Connection]:
    """A session of the admin login, whose errors have words for an administrator of the platform."""
    server = f"PostgreSQL at {without_password(url)}"
    connection = await _connect(url, server)
    try:
        yield connection
    except asyncpg.InsufficientPrivilegeError as error:
        raise InvalidInput(f"{server} refuses the operator's login: {_words(error)}. {_RIGHTS}") from error
    except _PASSING as error:
        raise Unavailable(f"{server} is away or busy: {_words(error)}") from error
    except asyncpg.PostgresError as error:
        raise InvalidInput(f"{server} refuses: {_words(error)}") from error
    finally:
        try:
            await connection.close(timeout=5)
        except OUTAGES:
            connection.terminate()


async def _connect(url: str, server: str) -> Connection:
    try:
        connection = await asyncpg.connect(
            url,
            timeout=CONNECT_SECONDS,
            command_timeout=COMMAND_SECONDS,
            server_settings={
                "application_name": "loyalnest operator",
                "standard_conforming_strings": "on",  # `literal` relies on it
                "lock_timeout": "30s",
            },
        )
    except (ValueError, asyncpg.ClientConfigurationError) as error:
        raise InvalidInput(f"{server}: the address is not valid: {error}. {_ADDRESS}") from error
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
        raise InvalidInput(f"{server} refuses the operator's login: {_words(error)}. {_ADDRESS}") from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Unavailable(f"{server} cannot be reached: {_words(error)}") from error
    version = connection.get_server_version().major
    if version < OLDEST:
        connection.terminate()
        raise InvalidInput(f"{server} is version {version}; programs need {OLDEST} or newer.")
    return connection


def _words(error: Exception) -> str:
    """What went wrong, in one line."""
    detail = error.detail if isinstance(error, asyncpg.PostgresError) else None
    text = f"{error.args[0]} ({detail})" if error.args and detail else str(error) or type(error).__name__
    return " ".join(text.split())


_ADDRESS = "Put it right in LOYALNEST_OPERATOR_POSTGRES_URL."
_RIGHTS = (
    "It has to be a superuser, or have CREATEDB, CREATEROLE and, for roles that another login has made "
    "(loyalnest_…_request, loyalnest_…_worker), their ADMIN option: GRANT the role TO it WITH ADMIN OPTION."
)
