"""Who may do what in a program's database: what is wanted, what is there, and the SQL between them. No I/O.

`owner` owns the database and migrates it, without any power over the server. `app` may become the two roles of every
service, a service's login only its own two. No membership is inherited: a login has a role's rights only after it has
become that role. Nobody else may connect.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.roles import request_role, worker_role
from loyalnest.kit.service import Service
from loyalnest_operator import names
from loyalnest_operator.facts import Generated
from loyalnest_operator.generated import APP, OWNER

_ROUNDS = 4096
"""What PostgreSQL itself takes for SCRAM. The passwords are random, so that more would guard nothing."""

_POWERS = {
    "rolsuper": "NOSUPERUSER",
    "rolcreatedb": "NOCREATEDB",
    "rolcreaterole": "NOCREATEROLE",
    "rolreplication": "NOREPLICATION",
    "rolbypassrls": "NOBYPASSRLS",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a program should have. passwords: by login; roles: by login, those that it may become."""

    program: str
    database: str
    owner: str
    passwords: Mapping[str, str]
    roles: Mapping[str, frozenset[str]]

    @property
    def service_roles(self) -> list[str]:
        """Every role that a login may become, by name; they belong to the whole server."""
        return sorted(frozenset().union(*self.roles.values()))


@dataclass(frozen=True, slots=True)
class Role:
    """A role that is there. powers: the attributes of `_POWERS` that it has; comment: what `mark` wrote."""

    login: bool
    powers: frozenset[str]
    comment: str


@dataclass(frozen=True, slots=True)
class Membership:
    """One grant of `role` to `member`. plain: it can be become, and gives nothing before."""

    role: str
    member: str
    grantor: str
    plain: bool


@dataclass(frozen=True, slots=True)
class Rights:
    """What is there. admin: the login that asks; superuser: whether it is one. roles: those that are wanted."""

    admin: str
    superuser: bool
    roles: Mapping[str, Role]
    memberships: Iterable[Membership]


@dataclass(frozen=True, slots=True)
class Access:
    """The database that is there. public: whether everybody may do something in it; logins: who may connect."""

    owner: str
    public: bool
    logins: frozenset[str]


def wanted(program: str, generated: Generated, services: Iterable[Service]) -> Wanted:
    """What `program` should have. Raises InvalidInput if a login has no password."""
    roles: dict[str, frozenset[str]] = {}
    for service in services:
        own = {request_role(service.name), worker_role(service.name)} if service.migrations else set()
        roles[service.name] = frozenset(own)
    roles[OWNER] = roles[APP] = frozenset().union(*roles.values())
    missing = sorted(purpose for purpose in roles if not generated.passwords.get(purpose))
    if missing:
        raise InvalidInput(f"No password was generated for {', '.join(missing)} of the program {program}.")
    login = {purpose: names.login(program, purpose) for purpose in roles}
    return Wanted(
        program=program,
        database=names.database(program),
        owner=login[OWNER],
        passwords={login[purpose]: generated.passwords[purpose] for purpose in roles},
        roles={login[purpose]: own for purpose, own in roles.items()},
    )


def missing_service_roles(want: Wanted, found: Rights) -> list[str]:
    """Statements that make the server-wide roles, which another process may be making, too.

    Each has to be a transaction of its own.
    """
    return [
        f"DO $$ BEGIN CREATE ROLE {identifier(role)} NOLOGIN; "
        "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        for role in want.service_roles
        if role not in found.roles
    ]


def role_statements(want: Wanted, found: Rights) -> list[str]:
    """Statements that bring the logins to what is wanted, to run in one transaction. None if nothing differs.

    Raises InvalidInput if one of the names belongs to a role that was not made for this program.
    """
    statements: list[str] = []
    for login, password in sorted(want.passwords.items()):
        statements += _login(want.program, login, password, found.roles.get(login))
    wrong = [
        each
        for each in found.memberships
        if each.member in want.roles and not (each.plain and each.role in want.roles[each.member])
    ]
    statements += [
        f"REVOKE {identifier(each.role)} FROM {identifier(each.member)} GRANTED BY {identifier(each.grantor)}"
        for each in sorted(wrong, key=lambda each: (each.role, each.member, each.grantor))
    ]
    granted = {(each.role, each.member) for each in found.memberships if each.plain}
    members = dict(want.roles) | ({} if found.superuser else {found.admin: frozenset({want.owner})})
    # By role, because a grant locks the role until the transaction ends: in one order nobody waits in a circle.
    for role in sorted(frozenset().union(*members.values())):
        lacking = [member for member in sorted(members) if role in members[member] and (role, member) not in granted]
        if lacking:
            grantees = ", ".join(map(identifier, lacking))
            statements.append(f"GRANT {identifier(role)} TO {grantees} WITH INHERIT FALSE, SET TRUE")
    return statements


def _login(program: str, login: str, password: str, found: Role | None) -> list[str]:
    name, comment = identifier(login), mark(program, password)
    if found is None:
        changes = [f"CREATE ROLE {name} LOGIN PASSWORD {literal(scram(password))}"]
    elif not found.comment.startswith(mark_of(program)):
        raise InvalidInput(
            f"PostgreSQL has a role {login} that was not made for this program: rename it, or drop it if nothing "
            "needs it."
        )
    else:
        options = [] if found.login else ["LOGIN"]
        options += [word for power, word in _POWERS.items() if power in found.powers]
        options += [] if found.comment == comment else [f"PASSWORD {literal(scram(password))}"]
        changes = [f"ALTER ROLE {name} {' '.join(options)}"] if options else []
    if changes and (found is None or found.comment != comment):
        changes.append(f"COMMENT ON ROLE {name} IS {literal(comment)}")
    return changes


def database_statements(want: Wanted, found: Access) -> list[str]:
    """Statements that let the program's logins into its database and nobody else, to run as its owner."""
    statements = []
    database = identifier(want.database)
    if found.public:
        statements.append(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
    missing = sorted(set(want.passwords) - found.logins)
    if missing:
        statements.append(f"GRANT CONNECT ON DATABASE {database} TO {', '.join(map(identifier, missing))}")
    return statements


def check_owner(want_owner: str, database: str, found: str) -> None:
    """Raises InvalidInput if the database belongs to somebody else."""
    if found != want_owner:
        raise InvalidInput(
            f"PostgreSQL has a database {database} that belongs to {found}: rename it, or, if it is this program's, "
            f"hand it over with ALTER DATABASE {identifier(database)} OWNER TO {identifier(want_owner)}."
        )


def mark_of(program: str) -> str:
    """How the comment of each of a program's logins begins."""
    return f"LoyalNest program {program}; "


def mark(program: str, password: str) -> str:
    """The comment of a login: whose it is, and which password it was given.

    An admin without the rights of a superuser cannot read a password's hash, so this tells whether it must be set.
    Everybody may read it; of a random password of 256 bits it gives nothing away.
    """
    digest = hashlib.sha256(b"loyalnest.password\0" + password.encode()).hexdigest()
    return f"{mark_of(program)}password {digest[:32]}"


def scram(password: str) -> str:
    """What PostgreSQL stores of a plain password (RFC 5802, RFC 7677), so that its log never sees the password."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt_text, stored_text, server_text = (base64.b64encode(each).decode() for each in (salt, stored, server))
    return f"SCRAM-SHA-256${_ROUNDS}:{salt_text}${stored_text}:{server_text}"


def identifier(name: str) -> str:
    """`name` as an SQL identifier. Raises InvalidInput for what can be none."""
    if not name or "\0" in name or len(name.encode()) > names.MOST_POSTGRES:
        raise InvalidInput(f"{name!r} cannot be a name in PostgreSQL: it has to be 1 to {names.MOST_POSTGRES} bytes.")
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """`text` as an SQL string, for a session with standard_conforming_strings. Raises InvalidInput for NUL."""
    if "\0" in text:
        raise InvalidInput(f"{text!r} cannot be text in PostgreSQL.")
    return "'" + text.replace("'", "''") + "'"
