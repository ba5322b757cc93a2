"""Sessions: bearer tokens are opened, checked, listed and revoked here."""

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from loyalnest.admin_core.events import AuditLog
from loyalnest.auth import admin_repository, api_key_rules, repository, rules, tokens
from loyalnest.auth.admin_repository import SessionState
from loyalnest.auth.api_keys import identity_of
from loyalnest.auth.keys import OwnKeys
from loyalnest.auth.models import AdminSession, AdminUser, Identity, OpenedSession, Role, Status
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import current, require_role
from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.errors import InvalidInput, NotFound, PreconditionFailed, Unauthenticated, Unavailable
from loyalnest.kit.events import Event, new_id
from loyalnest.kit.outbox import Outbox

CACHE_SECONDS = 2.0
"""How long a process trusts what it checked: a revocation by another process takes effect here within that time, one
by this process at once. The gateway remembers answers for 5 s of its own."""
CACHE_SIZE = 10_000


class TokenValidator:
    """Says who a bearer token speaks for, and remembers the good ones for a moment."""

    def __init__(
        self, database: Database, keys: OwnKeys, clock: Clock, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._monotonic = monotonic
        self._known: dict[bytes, tuple[float, Identity]] = {}

    async def validate(self, token: str) -> Identity:
        """Who `token` speaks for.

        Raises Unauthenticated for anything that is no API key and no token of a session that holds: malformed,
        signed otherwise, expired, revoked, of a deactivated admin user, or of a merchant that is not active.
        """
        digest = hashlib.sha256(token.encode(errors="replace")).digest()
        now = self._clock()
        until, known = self._known.get(digest, (0.0, None))
        if known is not None and self._monotonic() < until and (known.expires_at is None or now < known.expires_at):
            return known
        self._known.pop(digest, None)
        identity = await self._check(token)
        if len(self._known) >= CACHE_SIZE:
            self._known.clear()  # they are found again in a statement each
        self._known[digest] = (self._monotonic() + CACHE_SECONDS, identity)
        return identity

    def forget(self, merchant_id: str) -> None:
        """Check the merchant's tokens anew: something changed."""
        gone = [digest for digest, (_, known) in self._known.items() if known.merchant_id == merchant_id]
        for digest in gone:
            del self._known[digest]

    async def _check(self, token: str) -> Identity:
        if token.startswith(api_key_rules.PREFIX):
            return await identity_of(self._database, token, self._clock())
        merchant_id = tokens.merchant_of(token)
        try:
            keys = await self._keys.cached(merchant_id)
        except NotFound:
            raise Unauthenticated(tokens.NOT_OURS) from None
        claims = tokens.verify(token, merchant_id, tokens.signing_key(keys), self._clock())
        async with self._database.request(merchant_id) as connection:
            state = await admin_repository.session_state(connection, merchant_id, claims.session_id)
        role = standing(state)
        return Identity(merchant_id, claims.actor, role, claims.session_id, claims.expires_at)


def standing(state: SessionState | None) -> Role:
    """The role in which a session lets in now: its own, or the admin user's where that is less.

    Raises Unauthenticated with the reason if it lets nobody in, Unavailable while the merchant is moved. Whether it has
    expired is in its token.
    """
    if state is None or state.session.revoked_at is not None:
        raise Unauthenticated("This session was ended: log in again.")
    if state.merchant_closed:
        raise Unavailable(rules.MOVING)
    if state.merchant_status is not Status.ACTIVE:
        raise Unauthenticated(f"The merchant is {state.merchant_status}: its admins cannot come in.")
    if state.session.admin_user_id is None:
        return state.session.role
    if not state.user_active or state.user_role is None:
        raise Unauthenticated("Your admin user was deactivated: ask an owner of the merchant.")
    return rules.lesser(state.session.role, state.user_role)


class Sessions:
    """Opens, lists and ends sessions."""

    def __init__(
        self, database: Database, outbox: Outbox, keys: OwnKeys, validator: TokenValidator, clock: Clock
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._keys = keys
        self._validator = validator
        self._clock = clock

    async def open(
        self,
        connection: Connection,
        keys: MerchantKeys,
        who: AdminUser | str,
        role: Role,
        lifetime: timedelta,
        how: str,
        by: str = "",
    ) -> OpenedSession:
        """A session in the caller's transaction for an admin user, or for a label of LoyalNest's own.

        how: the way in, for the audit log. by: who opened it; empty for the person whose it is.
        """
        now = self._clock()
        session = AdminSession(
            merchant_id=keys.merchant_id,
            session_id=new_id(),
            admin_user_id=who.admin_user_id if isinstance(who, AdminUser) else None,
            actor=who.actor if isinstance(who, AdminUser) else f"admin:{who}",
            role=role,
            created_at=now,
            expires_at=(now + lifetime).replace(microsecond=0),
        )
        await admin_repository.insert_session(connection, session)
        opened = {"actor": session.actor, "role": role.value, "how": how, "expires_at": session.expires_at.isoformat()}
        await self._outbox.append(connection, [self._told(session, "session.opened", {}, opened, by)])
        return OpenedSession(session, tokens.sign(tokens.signing_key(keys), session))

    async def create(self, merchant_id: str, admin: str, role: str, lifetime_seconds: int) -> OpenedSession:
        """A session for an admin user, or for a label of LoyalNest's own: see CreateSessionRequest.

        Raises Forbidden for staff, NotFound for an unknown user, PreconditionFailed if it or the merchant is not
        active.
        """
        context = require_role(Role.OWNER)
        lifetime = rules.session_lifetime(lifetime_seconds)
        wanted = admin.removeprefix("admin:")
        async with self._database.request(merchant_id) as connection:
            merchant = await repository.merchant(connection, merchant_id)
            if merchant is None:
                raise NotFound(f"No merchant {merchant_id} is known: apply its LoyaltyProgram first.")
            rules.refuse_closed(merchant)
            if merchant.status is not Status.ACTIVE:
                raise PreconditionFailed(f"The merchant is {merchant.status}: no session can be opened.")
            who: AdminUser | str
            if not wanted:
                who = await self._caller_or_owner(connection, merchant_id)
            elif (admin_user_id := _uuid(wanted)) is not None:
                who = await self._user(connection, merchant_id, admin_user_id)
            elif context.role == "system":
                who = rules.label(wanted)
            else:
                raise InvalidInput("An admin user is named by its id.")
            most = who.role if isinstance(who, AdminUser) else Role.OWNER
            keys = await self._keys.load(connection, merchant_id)
            return await self.open(
                connection, keys, who, rules.session_role(role, most), lifetime, "created", context.actor
            )

    async def listed(self, merchant_id: str) -> list[AdminSession]:
        """The sessions that have not expired: all of them for an owner, else the caller's own."""
        context = require_role(*Role)
        own = context.actor if context.role in (Role.STAFF, Role.SUPPORT) else ""
        async with self._database.request(merchant_id) as connection:
            return await admin_repository.sessions(connection, merchant_id, own, self._clock())

    async def revoke(self, merchant_id: str, session_id: UUID) -> bool:
        """End a session: any for an owner, else one's own. False if it had been ended. Raises NotFound."""
        context = require_role(*Role)
        async with self._database.request(merchant_id) as connection:
            session = await admin_repository.session(connection, merchant_id, session_id)
            restricted = context.role in (Role.STAFF, Role.SUPPORT)
            if session is None or (restricted and session.actor != context.actor):
                raise NotFound(f"No session {session_id} is known.")
            if session.revoked_at is None:
                await admin_repository.revoke_session(connection, merchant_id, session_id, self._clock())
                told = self._told(session, "session.revoked", {"actor": session.actor}, {}, context.actor)
                await self._outbox.append(connection, [told])
        self._validator.forget(merchant_id)
        return session.revoked_at is None

    async def first_owner(self, connection: Connection, merchant_id: str, keys: MerchantKeys) -> AdminUser:
        """The merchant's oldest active owner. Raises PreconditionFailed if there is none."""
        for row in await admin_repository.users(connection, merchant_id):
            user = admin_repository.read_user(row, keys)
            if user.active and user.role is Role.OWNER:
                return user
        raise PreconditionFailed("The merchant has no active owner.")

    async def _caller_or_owner(self, connection: Connection, merchant_id: str) -> AdminUser:
        own = _uuid(current().actor.removeprefix("admin:"))
        if own is not None:
            return await self._user(connection, merchant_id, own)
        return await self.first_owner(connection, merchant_id, await self._keys.load(connection, merchant_id))

    async def _user(self, connection: Connection, merchant_id: str, admin_user_id: UUID) -> AdminUser:
        rows = await admin_repository.users(connection, merchant_id)
        row = next((row for row in rows if row["admin_user_id"] == admin_user_id), None)
        if row is None:
            raise NotFound(f"No admin user {admin_user_id} is known.")
        user = admin_repository.read_user(row, await self._keys.load(connection, merchant_id))
        if not user.active:
            raise PreconditionFailed("This admin user is deactivated.")
        return user

    def _told(
        self, session: AdminSession, action: str, before: dict[str, str], after: dict[str, str], by: str = ""
    ) -> Event:
        return AuditLog(
            actor=by or session.actor,
            role=current().role if by else session.role.value,
            action=action,
            subject=f"session:{session.session_id}",
            before=before,
            after=after,
            at=self._clock(),
        ).event(session.merchant_id, str(session.session_id))


def _uuid(text: str) -> UUID | None:
    with suppress(ValueError):
        return UUID(text)
    return None
