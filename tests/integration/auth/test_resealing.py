"""After a rotation auth's own values are sealed anew, and the old data key is needed no more."""

import pytest
from structlog.testing import capture_logs

from integration.auth.support import Process, program
from loyalnest.auth import auth_pb2 as pb
from loyalnest.auth import sealed_repository
from loyalnest.auth.keys import API_SECRET
from loyalnest.auth.sealed_repository import SEALED
from loyalnest.kit.context import as_merchant
from loyalnest.kit.crypto.envelope import sealed_version
from shopify.server import ACME, ShopifyServer


@pytest.fixture
async def filled(auth: Process, shopify: ShopifyServer) -> Process:
    """Acme with a value in every column that is sealed: secrets, a token that can be refreshed, two admins."""
    await auth.provision(program(shopify, previous="of-last-month"))
    await auth.stub.ExchangeSessionToken(pb.ExchangeSessionTokenRequest(session_token=shopify.session_token()))
    return auth


async def reseal(process: Process) -> int:
    job = next(job for job in process.parts.jobs if job.name == "reseal")
    return await job.run()


async def versions(process: Process, merchant: str = "acme") -> dict[str, set[int]]:
    """The key versions of each column's values."""
    found = {}
    for purpose in SEALED:
        table, _, column = purpose.rpartition(".")
        query = f"SELECT {column} FROM {table} WHERE merchant_id = $1 AND {column} IS NOT NULL"
        found[purpose] = {sealed_version(row[0]) for row in await process.rows(query, merchant)}
    return found


def all_under(version: int) -> dict[str, set[int]]:
    return {purpose: {version} for purpose in SEALED}


async def rotate(process: Process, merchant: str) -> None:
    with as_merchant(merchant):
        await process.stub.RotateKeys(pb.RotateKeysRequest())


async def test_every_value_moves_to_the_current_key(filled: Process, shopify: ShopifyServer) -> None:
    assert await versions(filled) == all_under(1)
    assert await reseal(filled) == 0
    await rotate(filled, "acme")
    before = await filled.everything()
    assert await reseal(filled) == 6
    assert await versions(filled) == all_under(2)
    assert (await versions(filled, "globex"))[API_SECRET] == {1}
    assert await reseal(filled) == 0
    after = await filled.everything()
    assert after["outbox"] == before["outbox"], "sealing anew is no change"
    async with filled.database.worker() as connection:
        await connection.execute(
            "DELETE FROM auth.data_keys WHERE merchant_id = 'acme' AND purpose = 'data' AND version = 1"
        )
    found = await filled.stub.ValidateMerchant(pb.ValidateMerchantRequest(shop_domain=ACME))
    assert list(found.api_secrets) == [shopify.shop().app.secret, "of-last-month"]
    with as_merchant("acme"):
        assert (await filled.stub.GetShopAccess(pb.GetShopAccessRequest())).connected
        users = (await filled.stub.ListAdminUsers(pb.ListAdminUsersRequest())).admin_users
    assert {user.name for user in users} == {"Owner", "Shopify user 42"}


async def test_every_sealed_column_is_known(filled: Process) -> None:
    """A bytea that is neither sealed anew nor listed here was forgotten."""
    hashes_and_keys = {
        *("auth.data_keys.wrapped", "auth.oauth_states.state_hash", "auth.outbox.payload"),
        *("auth.admin_users.name_hash", "auth.admin_users.shopify_user_hash"),
        *("auth.api_keys.secret_hash", "auth.api_keys.previous_hash"),
    }
    columns = await filled.rows(
        """
        SELECT 'auth.' || c.relname || '.' || a.attname AS name
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'auth'::regnamespace AND c.relkind = 'r' AND a.atttypid = 'bytea'::regtype
        """
    )
    assert {row["name"] for row in columns} == {*SEALED} | hashes_and_keys


async def test_a_value_that_was_written_meanwhile_stays(filled: Process) -> None:
    keys = await filled.keys_of("acme")
    ((old,),) = await filled.rows("SELECT api_secret FROM auth.merchants WHERE merchant_id = 'acme'")
    async with filled.database.request("acme") as connection:
        newer = keys.seal(API_SECRET, b"newer")
        assert await sealed_repository.replace_sealed(connection, "acme", API_SECRET, [old], [newer]) == 1
        assert await sealed_repository.replace_sealed(connection, "acme", API_SECRET, [old], [b"late"]) == 0
    assert (await filled.rows("SELECT api_secret FROM auth.merchants WHERE merchant_id = 'acme'"))[0][0] == newer


async def test_what_no_longer_opens_is_reported_and_holds_nothing_up(filled: Process) -> None:
    async with filled.database.worker() as connection:
        await connection.execute(
            "UPDATE auth.merchants SET api_secret_previous = set_byte(api_secret_previous, 20, "
            "get_byte(api_secret_previous, 20) # 1) WHERE merchant_id = 'acme'"
        )
    await rotate(filled, "acme")
    await rotate(filled, "globex")
    with capture_logs() as logs:
        assert await reseal(filled) == 5 + 2
    assert [(each["event"], each["merchant_id"], each["values"]) for each in logs] == [("auth.reseal_lost", "acme", 1)]


async def test_destroyed_keys_seal_nothing(filled: Process) -> None:
    await rotate(filled, "acme")
    async with filled.database.worker() as connection:
        await connection.execute("DELETE FROM auth.data_keys WHERE merchant_id = 'acme'")
    assert await reseal(filled) == 0
    assert await versions(filled) == all_under(1)
