"""A customer or a shop is redacted, or asks what is held."""

from typing import Any

import msgspec

from fixtures.mortal import killed_before_each_statement, until_death
from fixtures.privacy import asked, exported
from integration.admin_features.support import Rig, token_in
from loyalnest.admin_features import admin_features_pb2 as pb
from loyalnest.kit.events import new_id


async def everything(rig: Rig) -> str:
    tables = await rig.sql(
        "SELECT relname FROM pg_class WHERE relnamespace = 'admin_features'::regnamespace AND relkind = 'r'"
        " AND relname NOT IN ('alembic_version', 'outbox', 'inbox')"
    )
    found = []
    for table in tables:
        rows = await rig.sql(f"SELECT t.*::text AS row FROM admin_features.{table['relname']} t")
        found += [row["row"] for row in rows]
    return "\n".join(found)


async def prepared(rig: Rig, customer_id: int = 77001) -> str:
    """A customer who got a mail, unsubscribed, invited a friend, and for whom two messages wait. Returns the token."""
    await rig.customer(customer_id)
    await rig.tell(rig.earned(customer_id), await rig.shared(customer_id, "friend@example.org"))
    message = next(message for event, message in await rig.sent() if event.reason == "points_earned")
    sent = [event for event, _ in await rig.sent()]
    await rig.finish(sent[0].message_id, provider_id="re_7")
    token = token_in(message)
    await rig.stub.Unsubscribe(pb.SubscriptionRequest(token=token))
    await rig.notices.handle([rig.earned(customer_id), await rig.shared(customer_id, "other@example.org")])
    return token


async def test_a_redacted_customer_leaves_counts_and_an_objection(rig: Rig) -> None:
    token = await prepared(rig)
    before = len(await rig.statuses())
    await rig.privacy.handle([asked("customer_redact", 77001, "acme")])
    stored = await everything(rig)
    for trace in ("77001", "re_7", "MARIA7"):
        assert trace not in stored
    assert len(await rig.statuses()) == before
    rows = await rig.sql("SELECT customer_id, address_hash, sealed, facts FROM admin_features.email_events")
    assert all(row["customer_id"] < 0 for row in rows)
    assert {(row["address_hash"], row["sealed"], row["facts"]) for row in rows} == {(None, None, "{}")}
    rig.clock.advance(minutes=1)
    await rig.sending.run()
    assert len(await rig.sent()) == 2  # nothing of what was waiting
    assert [reason for _, status, reason in await rig.statuses() if status == "suppressed"] == ["redacted"] * 2
    # Whoever types the same address into the shop again has still said that no mail is wanted.
    await rig.customer(88, "c77001@acme.example")
    await rig.tell(rig.earned(88))
    assert (await rig.statuses())[-1] == ("points_earned", "suppressed", "unsubscribed")
    # And an old link brings nothing of the customer back, but still lets the person change their mind.
    await rig.stub.Resubscribe(pb.SubscriptionRequest(token=token))
    assert "77001" not in await everything(rig)
    (confirmed,) = await rig.confirmed()
    assert confirmed.counts == {"messages": 4, "addresses": 1, "marks": 0}


async def test_a_report_that_comes_after_a_redaction_brings_nothing_back(rig: Rig) -> None:
    await rig.customer(5)
    await rig.tell(rig.earned(5))
    ((event, _),) = await rig.sent()
    await rig.privacy.handle([asked("customer_redact", 5, "acme")])
    await rig.finish(event.message_id, provider_id="re_late")
    assert "re_late" not in await everything(rig)
    assert await rig.statuses() == [("points_earned", "sent", "")]


async def test_events_of_a_redacted_customer_come_late(rig: Rig) -> None:
    await rig.customer(5)
    await rig.core_privacy.handle([asked("customer_redact", 5, "acme")])
    await rig.privacy.handle([asked("customer_redact", 5, "acme")])
    await rig.tell(rig.earned(5))
    rig.clock.advance(minutes=16)
    await rig.sending.run()
    assert await rig.sent() == []
    assert await rig.statuses() == [("points_earned", "suppressed", "unknown_customer")]


async def test_an_export_has_the_messages_and_no_secrets(rig: Rig) -> None:
    await prepared(rig)
    await rig.customer(2)
    await rig.tell(rig.earned(2))
    request = asked("customer_data", 77001, "acme")
    await rig.privacy.handle([request])
    keys = await rig.keys.for_merchant("acme")
    document = exported(keys, await rig.confirmed())
    assert len(document["messages"]) == 4
    assert {row["customer_id"] for row in document["messages"]} == {77001}
    assert not any({"sealed", "address_hash"} & row.keys() for row in document["messages"])
    assert len(document["addresses"]) == 1
    assert document["addresses"][0]["unsubscribed_at"]


async def test_a_redacted_shop_keeps_no_address_and_the_other_shop_everything(rig: Rig) -> None:
    await prepared(rig)
    for merchant in ("acme", "brew"):
        await rig.customer(3, merchant=merchant)
        await rig.tell(rig.earned(3, merchant=merchant))
    before = await rig.statuses("brew")
    await rig.privacy.handle([asked("shop_redact", None, "acme")])
    rows = await rig.sql("SELECT customer_id FROM admin_features.email_events WHERE merchant_id = 'acme'")
    assert rows
    assert all(row["customer_id"] < 0 for row in rows)
    assert await rig.sql("SELECT FROM admin_features.addresses WHERE merchant_id = 'acme'") == []
    assert await rig.statuses("brew") == before
    (row,) = await rig.sql("SELECT customer_id FROM admin_features.email_events WHERE merchant_id = 'brew'")
    assert row["customer_id"] == 3


async def test_killed_anywhere_a_redaction_is_done_once(rig: Rig) -> None:
    kills = 0
    async for database in killed_before_each_statement(rig.database, rig.url):
        kills += 1
        await rig.customer(kills)
        await rig.tell(rig.earned(kills))
        request_id = new_id()
        request = asked("customer_redact", kills, "acme", request_id)
        victim = Rig(rig.pool, rig.url, rig, database)

        async def work(victim: Rig = victim, request: Any = request) -> None:
            await victim.privacy.handle([request])

        await until_death(work)
        await rig.privacy.handle([asked("customer_redact", kills, "acme", request_id)])
        rows = await rig.sql("SELECT count(*) FILTER (WHERE customer_id > 0) AS left FROM admin_features.email_events")
        assert rows[0]["left"] == 0
    confirmed = [msgspec.to_builtins(each)["counts"]["messages"] for each in await rig.confirmed()]
    assert confirmed == [1] * kills
    assert kills > 6
