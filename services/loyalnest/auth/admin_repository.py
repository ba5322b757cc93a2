"""All SQL of admin users and their sessions."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from loyalnest.auth.keys import ADMIN_NAME
from loyalnest.auth.models import AdminSession, AdminUser, Role, Status
from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.database import Connection

_USER = "admin_user_id, name, role, active, created_at"
_SESSION = "merchant_id, session_id, admin_user_id, actor, role, created_at, expires_at, revoked_at"


@dataclass(frozen=True, slots=True)
class SessionState:
    """What decides whether a session still lets anyone in. The user's fields are None if it has no admin user."""

    session: AdminSession
    merchant_status: Status
    merchant_closed: bool
    user_role: Role | None
    user_active: bool | None


async def users(connection: Connection, merchant_id: str) -> list[Any]:
    """Every admin user, oldest first, with the name sealed."""
    found: list[Any] = await connection.fetch(
        f"SELECT {_USER} FROM auth.admin_users WHERE merchant_id = $1 ORDER BY admin_user_id LIMIT 1000", merchant_id
    )
    return found


def read_user(row: Any, keys: MerchantKeys) -> AdminUser:
    """A row that one of these gave, with its name opened."""
    name = keys.open(ADMIN_NAME, row["name"]).decode()
    return AdminUser(row["admin_user_id"], name, Role(row["role"]), row["active"], row["created_at"])


async def user_by_name(connection: Connection, merchant_id: str, name_hash: bytes) -> Any:
    """The admin user of a name, or None."""
    return await connection.fetchrow(
        f"SELECT {_USER} FROM auth.admin_users WHERE merchant_id = $1 AND name_hash = $2", merchant_id, name_hash
    )


async def user_by_shopify_id(connection: Connection, merchant_id: str, shopify_user_hash: bytes) -> Any:
    """The admin user that one of the shop's users became, or None."""
    return await connection.fetchrow(
        f"SELECT {_USER} FROM auth.admin_users WHERE merchant_id = $1 AND shopify_user_hash = $2",
        merchant_id,
        shopify_user_hash,
    )


async def has_shopify_user(connection: Connection, merchant_id: str) -> bool:
    """Whether any of the shop's users is an admin user yet."""
    found = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM auth.admin_users WHERE merchant_id = $1 AND shopify_user_hash IS NOT NULL)",
        merchant_id,
    )
    return bool(found)


async def insert_user(
    connection: Connection,
    merchant_id: str,
    admin_user_id: UUID,
    name: bytes,
    name_hash: bytes,
    shopify_user_hash: bytes | None,
    role: Role,
    now: datetime,
) -> None:
    """Write a new admin user. Raises UniqueViolationError for a name or Shopify user that is taken."""
    await connection.execute(
        """
        INSERT INTO auth.admin_users (merchant_id, admin_user_id, name, name_hash, shopify_user_hash, role, created_at,
                                      updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
        """,
        merchant_id,
        admin_user_id,
        name,
        name_hash,
        shopify_user_hash,
        role,
        now,
    )


async def update_user(
    connection: Connection,
    merchant_id: str,
    admin_user_id: UUID,
    name: bytes,
    name_hash: bytes,
    role: Role,
    active: bool,
    now: datetime,
) -> None:
    """Write a user's name, role and whether it may come in. Raises UniqueViolationError for a name that is taken."""
    await connection.execute(
        """
        UPDATE auth.admin_users SET name = $3, name_hash = $4, role = $5, active = $6, updated_at = $7
        WHERE merchant_id = $1 AND admin_user_id = $2
        """,
        merchant_id,
        admin_user_id,
        name,
        name_hash,
        role,
        active,
        now,
    )


async def insert_session(connection: Connection, session: AdminSession) -> None:
    """Write a new session."""
    await connection.execute(
        f"INSERT INTO auth.admin_sessions ({_SESSION}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        session.merchant_id,
        session.session_id,
        session.admin_user_id,
        session.actor,
        session.role,
        session.created_at,
        session.expires_at,
        session.revoked_at,
    )


async def session_state(connection: Connection, merchant_id: str, session_id: UUID) -> SessionState | None:
    """A session with what it depends on, in one statement."""
    row = await connection.fetchrow(
        """
        SELECT s.merchant_id, s.session_id, s.admin_user_id, s.actor, s.role, s.created_at, s.expires_at, s.revoked_at,
               m.status, m.closed_at IS NOT NULL AS closed, u.role AS user_role, u.active AS user_active
        FROM auth.admin_sessions s
        JOIN auth.merchants m ON m.merchant_id = s.merchant_id
        LEFT JOIN auth.admin_users u ON u.merchant_id = s.merchant_id AND u.admin_user_id = s.admin_user_id
        WHERE s.merchant_id = $1 AND s.session_id = $2
        """,
        merchant_id,
        session_id,
    )
    if row is None:
        return None
    return SessionState(
        session=_session(row),
        merchant_status=Status(row["status"]),
        merchant_closed=row["closed"],
        user_role=Role(row["user_role"]) if row["user_role"] else None,
        user_active=row["user_active"],
    )


async def sessions(connection: Connection, merchant_id: str, actor: str, now: datetime) -> list[AdminSession]:
    """Sessions that have not expired, newest first: of one actor, or of all if that is empty."""
    rows = await connection.fetch(
        f"""
        SELECT {_SESSION} FROM auth.admin_sessions
        WHERE merchant_id = $1 AND ($2 = '' OR actor = $2) AND expires_at > $3
        ORDER BY session_id DESC LIMIT 1000
        """,
        merchant_id,
        actor,
        now,
    )
    return [_session(row) for row in rows]


async def session(connection: Connection, merchant_id: str, session_id: UUID) -> AdminSession | None:
    """One session, whether it still holds or not; locked."""
    row = await connection.fetchrow(
        f"SELECT {_SESSION} FROM auth.admin_sessions WHERE merchant_id = $1 AND session_id = $2 FOR UPDATE",
        merchant_id,
        session_id,
    )
    return _session(row) if row else None


async def revoke_session(connection: Connection, merchant_id: str, session_id: UUID, now: datetime) -> None:
    """End one session."""
    await connection.execute(
        """
        UPDATE auth.admin_sessions SET revoked_at = $3
        WHERE merchant_id = $1 AND session_id = $2 AND revoked_at IS NULL
        """,
        merchant_id,
        session_id,
        now,
    )


async def revoke_sessions_of(connection: Connection, merchant_id: str, admin_user_id: UUID, now: datetime) -> None:
    """End every session of an admin user."""
    await connection.execute(
        """
        UPDATE auth.admin_sessions SET revoked_at = $3
        WHERE merchant_id = $1 AND admin_user_id = $2 AND revoked_at IS NULL
        """,
        merchant_id,
        admin_user_id,
        now,
    )


async def prune_sessions(connection: Connection, before: datetime) -> int:
    """Forget sessions that expired before a time, under the worker role. Returns how many."""
    result: str = await connection.execute("DELETE FROM auth.admin_sessions WHERE expires_at < $1", before)
    return int(result.rpartition(" ")[2])


def _session(row: Any) -> AdminSession:
    return AdminSession(
        merchant_id=row["merchant_id"],
        session_id=row["session_id"],
        admin_user_id=row["admin_user_id"],
        actor=row["actor"],
        role=Role(row["role"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
