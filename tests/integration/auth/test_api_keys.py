"""API keys: made, changed, rotated and ended by owners; what a secret lets in, and for how long."""

from typing import Any

import pytest

from integration.auth.conftest import Start
from integration.auth.support import Process, program
from loyalnest.auth import auth_pb2 as pb
from loyalnest.auth.api_key_rules import digest
from loyalnest.kit.context import as_merchant
from loyalnest.kit.errors import Conflict, Forbidden, InvalidInput, NotFound, PreconditionFailed, Unauthenticated
from shopify.server import ShopifyServer

HOUR = 3600


async def made(auth: Process, merchant: str = "acme", **given: Any) -> pb.ApiKey:
    asked = {"name": "warehouse", "scopes": ["points:read"]} | given
    with as_merchant(merchant, actor="admin:1", role="owner"):
        return await auth.stub.CreateApiKey(pb.CreateApiKeyRequest(**asked))


async def rotated(auth: Process, key: pb.ApiKey, **given: int) -> pb.ApiKey:
    with as_merchant("acme", actor="admin:1", role="owner"):
        return await auth.stub.RotateApiKey(pb.RotateApiKeyRequest(api_key_id=key.api_key_id, **given))


async def validate(auth: Process, token: str) -> pb.ValidateTokenResponse:
    return await auth.stub.ValidateToken(pb.ValidateTokenRequest(token=token))


async def refused(auth: Process, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await validate(auth, token)


async def test_a_key_speaks_for_its_merchant_within_its_scopes(auth: Process) -> None:
    key = await made(auth, scopes=["points:write", "points:read", "points:read"], requests_per_minute=7)
    who = await validate(auth, key.secret)
    assert (who.merchant_id, who.role, who.requests_per_minute) == ("acme", "staff", 7)
    assert (who.actor, who.session_id) == (f"api_key:{key.api_key_id}", key.api_key_id)
    assert (list(who.scopes), who.expires_at) == (["points:read", "points:write"], "")


async def test_only_a_hash_of_the_secret_is_kept(auth: Process) -> None:
    key = await made(auth)
    (row,) = await auth.rows("SELECT secret_hash FROM auth.api_keys")
    assert row["secret_hash"] == digest(key.secret)
    rows = repr(await auth.everything()) + repr([dict(row) for row in await auth.rows("SELECT * FROM auth.api_keys")])
    assert key.secret not in rows
    assert key.secret.partition(".")[2] not in rows


async def test_a_changed_secret_is_none(auth: Process) -> None:
    key = await made(auth)
    head, _, tail = key.secret.partition(".")
    other = "A" if tail[0] != "A" else "B"
    for wrong in (
        f"{head}.{other}{tail[1:]}",
        key.secret[:-1],
        f"lnk_brew.{tail}",
        f"lnk_.{tail}",
        "lnk_",
        key.secret + "=",
    ):
        await refused(auth, wrong)


async def test_a_rotation_overlaps_as_long_as_asked(auth: Process, shopify: ShopifyServer) -> None:
    first = await made(auth)
    second = await rotated(auth, first, overlap_hours=1)
    assert second.api_key_id == first.api_key_id
    for secret in (first.secret, second.secret):
        assert (await validate(auth, secret)).session_id == first.api_key_id
    third = await rotated(auth, first, overlap_hours=2)
    await refused(auth, first.secret)  # one secret overlaps, not a chain of them
    shopify.advance(2 * HOUR)
    with as_merchant("acme", actor="admin:1", role="owner"):  # any change makes this process look again
        await auth.stub.UpdateApiKey(pb.UpdateApiKeyRequest(api_key_id=first.api_key_id, name="store"))
    await refused(auth, second.secret)
    assert (await validate(auth, third.secret)).actor == f"api_key:{first.api_key_id}"


async def test_a_rotation_without_overlap_ends_the_old_secret_at_once(auth: Process) -> None:
    first = await made(auth)
    await validate(auth, first.secret)
    second = await rotated(auth, first, overlap_hours=0)
    await refused(auth, first.secret)
    await validate(auth, second.secret)


async def test_a_revoked_key_ends_at_once_and_its_name_is_free(auth: Process) -> None:
    key = await made(auth)
    await validate(auth, key.secret)
    with as_merchant("acme", actor="admin:1", role="owner"):
        for revoked in (True, False):
            answer = await auth.stub.RevokeApiKey(pb.RevokeApiKeyRequest(api_key_id=key.api_key_id))
            assert answer.revoked is revoked
        assert not (await auth.stub.ListApiKeys(pb.ListApiKeysRequest())).api_keys
    await refused(auth, key.secret)
    with pytest.raises(NotFound):
        await rotated(auth, key)
    await made(auth)


async def test_a_key_expires(auth: Process, shopify: ShopifyServer) -> None:
    key = await made(auth, expires_in_days=1)
    await validate(auth, key.secret)
    shopify.advance(24 * HOUR)
    with pytest.raises(Unauthenticated, match="expired"):
        await validate(auth, key.secret)


async def test_a_key_of_a_merchant_that_is_not_active_is_of_no_use(auth: Process, shopify: ShopifyServer) -> None:
    key = await made(auth)
    await auth.provision(program(shopify, suspend=True))
    with pytest.raises(Unauthenticated, match="suspended"):
        await validate(auth, key.secret)


async def test_its_use_is_noted_to_the_hour(auth: Process, start: Start, shopify: ShopifyServer) -> None:
    key = await made(auth)

    async def used(process: Process) -> str:
        await validate(process, key.secret)
        with as_merchant("acme", actor="admin:1", role="owner"):
            (listed,) = (await auth.stub.ListApiKeys(pb.ListApiKeysRequest())).api_keys
        assert listed.secret == ""
        return listed.last_used_at

    first = await used(auth)
    shopify.advance(HOUR - 1)
    assert await used(start()) == first
    shopify.advance(1)
    assert await used(start()) > first


async def test_only_owners_have_keys_and_each_merchant_its_own(auth: Process, shopify: ShopifyServer) -> None:
    key = await made(auth)
    with as_merchant("acme", actor="admin:2", role="staff"), pytest.raises(Forbidden):
        await auth.stub.ListApiKeys(pb.ListApiKeysRequest())
    with as_merchant("acme", actor="admin:2", role="staff"), pytest.raises(Forbidden):
        await auth.stub.CreateApiKey(pb.CreateApiKeyRequest(name="x", scopes=["points:read"]))
    await auth.provision(program(shopify, "globex"))
    with as_merchant("globex", actor="admin:3", role="owner"):
        assert not (await auth.stub.ListApiKeys(pb.ListApiKeysRequest())).api_keys
        with pytest.raises(NotFound):
            await auth.stub.RevokeApiKey(pb.RevokeApiKeyRequest(api_key_id=key.api_key_id))
    assert (await validate(auth, key.secret)).merchant_id == "acme"


@pytest.mark.parametrize(
    "given",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 101},
        {"scopes": []},
        {"scopes": ["points"]},
        {"scopes": ["points:admin"]},
        {"scopes": ["*:read"]},
        {"requests_per_minute": -1},
        {"requests_per_minute": 60_001},
        {"expires_in_days": -1},
        {"expires_in_days": 3651},
    ],
)
async def test_what_makes_no_key_is_refused(auth: Process, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await made(auth, **given)
    assert await auth.rows("SELECT FROM auth.api_keys") == []


async def test_names_are_unique_and_keys_are_bounded(auth: Process) -> None:
    await made(auth)
    with pytest.raises(Conflict, match="this name"):
        await made(auth)
    for number in range(99):
        await made(auth, name=f"key {number}")
    with pytest.raises(PreconditionFailed, match="revoke one"):
        await made(auth, name="one too many")


async def test_everything_is_audited_without_secrets(auth: Process) -> None:
    key = await made(auth)
    with as_merchant("acme", actor="admin:1", role="owner"):
        await auth.stub.UpdateApiKey(pb.UpdateApiKeyRequest(api_key_id=key.api_key_id, scopes=["points:write"]))
    again = await rotated(auth, key)
    with as_merchant("acme", actor="admin:1", role="owner"):
        await auth.stub.RevokeApiKey(pb.RevokeApiKeyRequest(api_key_id=key.api_key_id))
    told = [each for each in await auth.told("audit_log") if each["subject"] == f"api_key:{key.api_key_id}"]
    assert [each["action"].partition(".")[2] for each in told] == ["created", "updated", "rotated", "revoked"]
    assert {each["actor"] for each in told} == {"admin:1"}
    assert (told[1]["before"]["scopes"], told[1]["after"]["scopes"]) == ("points:read", "points:write")
    assert key.secret not in repr(told)
    assert again.secret not in repr(told)
