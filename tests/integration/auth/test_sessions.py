"""Bearer tokens, sessions and admin users."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from fastapi import FastAPI

from integration.auth.conftest import Start
from integration.auth.support import Process
from loyalnest.auth import auth_pb2 as pb
from loyalnest.auth import tokens
from loyalnest.auth.http import routes
from loyalnest.auth.keys import OwnKeys
from loyalnest.auth.models import AdminSession, Role
from loyalnest.auth.sessions import CACHE_SECONDS, TokenValidator
from loyalnest.kit.context import as_merchant
from loyalnest.kit.crypto.kek import KeyEncryptionKeys
from loyalnest.kit.errors import Conflict, Forbidden, InvalidInput, NotFound, PreconditionFailed, Unauthenticated
from loyalnest.kit.http import problems
from shopify.server import ShopifyServer


async def opened(auth: Process, merchant: str = "acme", **wanted: str | int) -> pb.Session:
    with as_merchant(merchant):
        return await auth.stub.CreateSession(pb.CreateSessionRequest(**wanted))  # type: ignore[arg-type]


async def validate(auth: Process, token: str) -> pb.ValidateTokenResponse:
    return await auth.stub.ValidateToken(pb.ValidateTokenRequest(token=token))


async def added(auth: Process, name: str, role: str) -> pb.AdminUser:
    with as_merchant("acme"):
        return await auth.stub.CreateAdminUser(pb.CreateAdminUserRequest(name=name, role=role))


async def test_a_token_survives_a_restart_and_expires(auth: Process, start: Start, shopify: ShopifyServer) -> None:
    session = await opened(auth, admin="cli", role="staff", lifetime_seconds=60)
    for process in (auth, start()):
        valid = await validate(process, session.token)
        assert (valid.merchant_id, valid.actor, valid.role) == ("acme", "admin:cli", "staff")
        assert (valid.session_id, valid.expires_at) == (session.session_id, session.expires_at)
    shopify.advance(61)
    with pytest.raises(Unauthenticated, match="expired"):
        await validate(auth, session.token)


async def test_a_revoked_session_ends_at_once_here_and_soon_elsewhere(auth: Process) -> None:
    session = await opened(auth)
    seconds = 0.0
    keks = KeyEncryptionKeys.parse(auth.keks)
    elsewhere = TokenValidator(auth.database, OwnKeys(auth.database, keks, auth.now), auth.now, lambda: seconds)
    await elsewhere.validate(session.token)
    await validate(auth, session.token)
    with as_merchant("acme"):
        request = pb.RevokeSessionRequest(session_id=session.session_id)
        assert (await auth.stub.RevokeSession(request)).revoked
        assert not (await auth.stub.RevokeSession(request)).revoked
        with pytest.raises(NotFound):
            await auth.stub.RevokeSession(pb.RevokeSessionRequest(session_id=str(uuid4())))
        with pytest.raises(InvalidInput):
            await auth.stub.RevokeSession(pb.RevokeSessionRequest(session_id="nonsense"))
    with pytest.raises(Unauthenticated, match="ended"):
        await validate(auth, session.token)
    assert (await elsewhere.validate(session.token)).merchant_id == "acme"  # remembered
    seconds = CACHE_SECONDS
    with pytest.raises(Unauthenticated, match="ended"):
        await elsewhere.validate(session.token)


async def test_no_token_of_one_merchant_opens_another(auth: Process) -> None:
    ours, theirs = await opened(auth, "acme"), await opened(auth, "globex")
    assert (await validate(auth, theirs.token)).merchant_id == "globex"
    keys = await auth.keys_of("acme")
    claims = jwt.decode(ours.token, options={"verify_signature": False})
    foreign = {**claims, "merchant": "globex", "sid": theirs.session_id}
    key = tokens.signing_key(keys)
    forged = (
        jwt.encode(foreign, key, "HS256", headers={"kid": "globex"}),
        jwt.encode(foreign, key, "HS256", headers={"kid": "acme"}),
        jwt.encode({**claims, "sid": theirs.session_id}, key, "HS256", headers={"kid": "acme"}),
        jwt.encode(claims, key, "HS256", headers={"kid": "nobody"}),
        jwt.encode(claims, key, "HS512", headers={"kid": "acme"}),
        jwt.encode(claims, keys.index_key, "HS256", headers={"kid": "acme"}),
        jwt.encode(claims, "", "none", headers={"kid": "acme"}),
        ours.token[:-3] + ("AAA" if ours.token[-3:] != "AAA" else "BBB"),
        "",
        "Bearer " + ours.token,
    )
    for token in forged:
        with pytest.raises(Unauthenticated) as caught:
            await validate(auth, token)
        assert len(caught.value.detail) < 100


async def test_a_signed_token_without_its_session_is_refused(auth: Process) -> None:
    key = tokens.signing_key(await auth.keys_of("acme"))
    ghost = AdminSession("acme", uuid4(), None, "admin:x", Role.OWNER, auth.now(), auth.now() + timedelta(hours=1))
    with pytest.raises(Unauthenticated):
        await validate(auth, tokens.sign(key, ghost))


async def test_a_session_can_do_no_more_than_its_admin_user(auth: Process) -> None:
    await added(auth, "Zoë", "owner")
    user = await added(auth, "Ada", "owner")
    high = await opened(auth, admin=user.admin_user_id)
    low = await opened(auth, admin=f"admin:{user.admin_user_id}", role="support")
    assert [(await validate(auth, each.token)).role for each in (high, low)] == ["owner", "support"]
    with as_merchant("acme"):
        await auth.stub.UpdateAdminUser(pb.UpdateAdminUserRequest(admin_user_id=user.admin_user_id, role="staff"))
    assert [(await validate(auth, each.token)).role for each in (high, low)] == ["staff", "support"]
    with pytest.raises(InvalidInput, match="cannot have a session as owner"):
        await opened(auth, admin=user.admin_user_id, role="owner")
    with as_merchant("acme"):
        await auth.stub.UpdateAdminUser(pb.UpdateAdminUserRequest(admin_user_id=user.admin_user_id, active=False))
    for each in (high, low):
        with pytest.raises(Unauthenticated):
            await validate(auth, each.token)
    with pytest.raises(PreconditionFailed, match="deactivated"):
        await opened(auth, admin=user.admin_user_id)


async def test_who_may_open_see_and_end_sessions(auth: Process) -> None:
    owner = await opened(auth)
    user = await added(auth, "Sam", "staff")
    staff = await opened(auth, admin=user.admin_user_id)
    with as_merchant("acme", actor=staff.actor, role="staff"):
        seen = (await auth.stub.ListSessions(pb.ListSessionsRequest())).sessions
        assert [each.session_id for each in seen] == [staff.session_id]
        assert not any(each.token for each in seen)
        with pytest.raises(NotFound):
            await auth.stub.RevokeSession(pb.RevokeSessionRequest(session_id=owner.session_id))
        with pytest.raises(Forbidden):
            await auth.stub.CreateSession(pb.CreateSessionRequest())
    with as_merchant("acme", actor=owner.actor, role="owner"):
        assert len((await auth.stub.ListSessions(pb.ListSessionsRequest())).sessions) == 2
        assert (await auth.stub.CreateSession(pb.CreateSessionRequest())).actor == owner.actor
        with pytest.raises(InvalidInput):
            await auth.stub.CreateSession(pb.CreateSessionRequest(admin="cli"))
        with pytest.raises(NotFound):
            await auth.stub.CreateSession(pb.CreateSessionRequest(admin=str(uuid4())))
        assert (await auth.stub.RevokeSession(pb.RevokeSessionRequest(session_id=staff.session_id))).revoked
    with as_merchant("globex"):
        assert not (await auth.stub.ListSessions(pb.ListSessionsRequest())).sessions
        with pytest.raises(NotFound):
            await auth.stub.RevokeSession(pb.RevokeSessionRequest(session_id=owner.session_id))
    for seconds in (-1, 31 * 24 * 3600):
        with pytest.raises(InvalidInput):
            await opened(auth, lifetime_seconds=seconds)
    with pytest.raises(NotFound):
        await opened(auth, "nobody")


async def test_the_last_active_owner_stays(auth: Process) -> None:
    with as_merchant("acme"):
        owner = (await auth.stub.ListAdminUsers(pb.ListAdminUsersRequest())).admin_users[0]
        for change in ({"role": "staff"}, {"active": False}):
            with pytest.raises(PreconditionFailed, match="last active owner"):
                await auth.stub.UpdateAdminUser(pb.UpdateAdminUserRequest(admin_user_id=owner.admin_user_id, **change))
        renamed = await auth.stub.UpdateAdminUser(
            pb.UpdateAdminUserRequest(admin_user_id=owner.admin_user_id, name="Grace")
        )
        assert (renamed.name, renamed.role, renamed.active) == ("Grace", "owner", True)
        await auth.stub.CreateAdminUser(pb.CreateAdminUserRequest(name="Second", role="owner"))
        demoted = await auth.stub.UpdateAdminUser(
            pb.UpdateAdminUserRequest(admin_user_id=owner.admin_user_id, role="support")
        )
        assert demoted.role == "support"


async def test_admin_users_are_audited_without_their_names(auth: Process) -> None:
    user = await added(auth, "Margaret Hamilton", "staff")
    assert (await added(auth, "margaret hamilton ", "staff")).admin_user_id == user.admin_user_id  # a repetition
    with pytest.raises(Conflict):
        await added(auth, "Margaret Hamilton", "owner")
    with pytest.raises(Conflict), as_merchant("acme"):
        await auth.stub.UpdateAdminUser(pb.UpdateAdminUserRequest(admin_user_id=user.admin_user_id, name="owner"))
    with as_merchant("acme", actor="admin:boss", role="owner"):
        await auth.stub.UpdateAdminUser(
            pb.UpdateAdminUserRequest(admin_user_id=user.admin_user_id, name="M. H.", role="support")
        )
    audit = [each for each in await auth.told("audit_log") if each["subject"] == f"admin_user:{user.admin_user_id}"]
    assert [(each["action"], each["actor"]) for each in audit] == [
        ("admin_user.created", "system"),
        ("admin_user.updated", "admin:boss"),
    ]
    assert audit[1]["before"] == {"role": "staff", "active": "true"}
    assert audit[1]["after"] == {"role": "support", "active": "true", "name": "changed"}
    everything = str(await auth.everything())
    assert "argaret" not in everything
    assert "M. H." not in everything
    for name in ("", " ", "a\nb", "x" * 201):
        with pytest.raises(InvalidInput):
            await added(auth, name, "staff")
    with pytest.raises(InvalidInput):
        await added(auth, "Somebody", "admin")
    with as_merchant("acme", actor="admin:x", role="staff"), pytest.raises(Forbidden):
        await auth.stub.CreateAdminUser(pb.CreateAdminUserRequest(name="x", role="owner"))


async def test_long_expired_sessions_are_forgotten(auth: Process, shopify: ShopifyServer) -> None:
    await opened(auth, lifetime_seconds=1)
    prune = next(job for job in auth.parts.jobs if job.name == "prune")
    shopify.advance(29 * 24 * 3600)
    assert await prune.run() == 0
    shopify.advance(2 * 24 * 3600)
    assert await prune.run() == 1


@pytest.fixture
async def client(auth: Process) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    problems.install(app)
    app.include_router(routes(auth.environment))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def test_the_routes(auth: Process, client: httpx.AsyncClient) -> None:
    session = await opened(auth)
    headers = {"Authorization": f"Bearer {session.token}"}
    with as_merchant("acme", actor=session.actor, role="owner"):
        who = (await client.get("/auth/session", headers=headers)).json()
        assert (who["merchant_id"], who["session_id"], who["role"]) == ("acme", session.session_id, "owner")
        assert (await client.get("/auth/session")).status_code == 401
        made = await client.post("/auth/admin-users", json={"name": "Lin", "role": "staff"})
        assert made.status_code == 200
        user_id = made.json()["admin_user_id"]
        assert UUID(user_id)
        changed = await client.patch(f"/auth/admin-users/{user_id}", json={"active": False})
        assert (changed.json()["name"], changed.json()["active"]) == ("Lin", False)
        assert len((await client.get("/auth/admin-users")).json()["admin_users"]) == 2
        assert (await client.patch("/auth/admin-users/nonsense", json={"active": False})).status_code == 400
        assert (await client.post("/auth/admin-users", json={"name": "Lin", "role": "king"})).status_code == 422
        assert len((await client.get("/auth/sessions")).json()["sessions"]) == 1
        assert (await client.delete(f"/auth/sessions/{session.session_id}")).json() == {"revoked": True}
        assert (await client.get("/auth/session", headers=headers)).status_code == 401
