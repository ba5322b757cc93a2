"""What admin_core itself keeps of a customer goes, and the log stays provable."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from functools import partial

import asyncpg
import msgspec
import pytest

from fixtures.mortal import killed_before_each_statement, until_death
from fixtures.privacy import asked, exported
from integration.admin_core.support import EMPTY, START, AdminCore, said
from loyalnest.admin_core import admin_core_pb2 as pb
from loyalnest.admin_core import privacy_repository
from loyalnest.admin_core.events import GdprRequestConfirmed, GdprRequestCreated
from loyalnest.admin_core.privacy_repository import AuditAndRequests
from loyalnest.kit.database import OUTAGES
from loyalnest.kit.events import Event, new_id
from loyalnest.kit.privacy import Redaction

ANNA, BEN = 7_770_001_110_777, 7_770_001_110_888


async def live(admin_core: AdminCore, merchant: str = "acme") -> None:
    """Let things be entered about two customers, alone and together."""
    await admin_core.trail.handle(
        [
            said(subject=f"customer:{ANNA}", merchant=merchant, reason="Sorry, Anna"),
            said(subject=f"customer:{BEN}", merchant=merchant, reason="Sorry, Ben"),
            said("referral.approved", "referral:x", merchant=merchant, referrer_id=str(ANNA), friend_id=str(BEN)),
            said("settings.updated", "settings", merchant=merchant, version="2"),
        ]
    )


async def redact(admin_core: AdminCore, event: Event) -> list[GdprRequestConfirmed]:
    """Do a request as the consumer loop does. Returns what was confirmed so far."""
    for _ in range(100):
        try:
            await admin_core.privacy.handle([event])
        except OUTAGES:
            await asyncio.sleep(0.002)
        else:
            told = await admin_core.told(GdprRequestConfirmed.topic)
            return [msgspec.convert(each, GdprRequestConfirmed, strict=False) for each in told]
    raise AssertionError("the request never went through")


async def readable(admin_core: AdminCore, merchant: str = "acme") -> list[bool]:
    """Whether each entry can be read, the first one first."""
    return [not each.redacted for each in reversed(await admin_core.entries(merchant))]


async def last_created(admin_core: AdminCore) -> Event:
    """The event of the newest request, as the outbox tells it."""
    (row, *_) = await admin_core.sql(
        "SELECT * FROM admin_core.outbox WHERE topic = $1 ORDER BY id DESC LIMIT 1", GdprRequestCreated.topic
    )
    read = GdprRequestCreated.read(
        Event(**{name: row[name] for name in Event.__struct_fields__ if name in row} | {"id": row["event_id"]})
    )
    return read.event(row["merchant_id"], row["key"])


async def test_what_names_a_redacted_customer_is_unreadable_and_the_chain_is_whole(admin_core: AdminCore) -> None:
    for merchant in ("acme", "globex"):
        await live(admin_core, merchant)
    before = await admin_core.sql("SELECT * FROM admin_core.audit_logs ORDER BY merchant_id, sequence")
    await admin_core.ask("customers/redact", ANNA)
    (confirmed,) = await redact(admin_core, await last_created(admin_core))
    assert confirmed.counts == {"audit_entries": 2, "requests": 0}
    assert await readable(admin_core) == [False, True, False, True]
    assert await readable(admin_core, "globex") == [True] * 4
    shown = await admin_core.entries()
    assert [(each.subject, dict(each.after)) for each in shown[:2]] == [
        ("settings", {"version": "2"}),
        ("referral:x", {}),
    ]
    assert before == await admin_core.sql("SELECT * FROM admin_core.audit_logs ORDER BY merchant_id, sequence")
    assert await admin_core.verified() == []
    assert await admin_core.entries(subject=f"customer:{ANNA}") == []


async def test_what_comes_late_says_nothing_and_what_is_new_does(admin_core: AdminCore) -> None:
    await live(admin_core)
    admin_core.pass_time(days=1)
    await admin_core.ask("customers/redact", ANNA)
    await redact(admin_core, await last_created(admin_core))
    await admin_core.trail.handle(
        [
            said(subject=f"customer:{ANNA}", actor=f"shopper:{ANNA}", reason="late"),
            said("referral.approved", "referral:y", referrer_id=str(ANNA), friend_id=str(BEN)),
            said(subject=f"customer:{ANNA}", at=START + timedelta(days=2), reason="new"),
        ]
    )
    assert await readable(admin_core) == [False, True, False, True, False, False, True]
    shown = await admin_core.entries()
    assert [dict(each.after) for each in shown[:3]] == [{"reason": "new"}, {}, {}]
    assert shown[2].actor == shown[2].subject == "customer:redacted"
    assert await admin_core.verified() == []


async def test_a_redaction_among_batches_leaves_nothing_readable_from_before(admin_core: AdminCore) -> None:
    await admin_core.ask("customers/redact", ANNA)
    admin_core.pass_time(days=1)
    request = await last_created(admin_core)

    async def entered(number: int) -> None:
        event, done = said(subject=f"customer:{ANNA}", reason=str(number)), False
        while not done:
            with suppress(*OUTAGES):
                await admin_core.trail.handle([event])
                done = True

    await asyncio.gather(*(entered(number) for number in range(20)), redact(admin_core, request))
    assert await readable(admin_core) == [False] * 20
    assert await admin_core.verified() == []
    assert await admin_core.sql("SELECT FROM admin_core.audit_subjects") == []


async def test_an_export_has_the_entries_and_requests_of_the_customer(admin_core: AdminCore) -> None:
    await live(admin_core)
    await admin_core.ask("customers/data_request", ANNA)
    confirmed = await redact(admin_core, await last_created(admin_core))
    document = exported(await admin_core.keys.for_merchant("acme"), confirmed)
    assert [each["subject"] for each in document["audit_entries"]] == ["referral:x", f"customer:{ANNA}"]
    assert document["audit_entries"][1]["after"] == {"reason": "Sorry, Anna"}
    assert [each["kind"] for each in document["requests"]] == ["customer_data"]


async def test_a_redaction_ends_what_the_customer_asked_for_and_drops_its_file(admin_core: AdminCore) -> None:
    await admin_core.ask("customers/data_request", ANNA)
    await admin_core.confirm("core", sealed=b"core's")
    await admin_core.confirm("points", sealed=b"points'")
    await admin_core.ask("customers/data_request", ANNA)
    await admin_core.confirm("core", sealed=b"core's")
    await admin_core.ask("customers/data_request", BEN)
    await admin_core.confirm("core", sealed=b"Ben's")
    await admin_core.ask("customers/redact", ANNA)
    await redact(admin_core, await last_created(admin_core))
    assert await admin_core.statuses() == ["completed", "cancelled", "open", "open"]
    await admin_core.confirm("points", index=1, sealed=b"late")
    assert [row["sealed"] for row in await admin_core.sql("SELECT * FROM admin_core.gdpr_export_parts")] == [b"Ben's"]
    named = await admin_core.call("ListGdprRequests", pb.ListGdprRequestsRequest())
    assert [each.customer_id for each in named.requests] == [ANNA, BEN, 0, 0]
    assert (await admin_core.audited()).count("gdpr.cancelled") == 1


async def test_a_part_that_arrives_during_a_redaction_does_not_stay(admin_core: AdminCore) -> None:
    await admin_core.ask("customers/data_request", ANNA)
    keys = await admin_core.keys.for_merchant("acme")
    redaction = Redaction(new_id(), "acme", admin_core.now, keys.index_key)
    keeper = AuditAndRequests(admin_core.outbox)
    async with admin_core.database.worker(snapshot=True) as connection:
        await connection.fetch("SELECT FROM admin_core.gdpr_requests")  # what it sees is of this moment
        await admin_core.confirm("points", sealed=b"too late to be seen")
        with pytest.raises(asyncpg.SerializationError):
            await keeper.redact(connection, redaction, ANNA)
    async with admin_core.database.worker(snapshot=True) as connection:
        await keeper.redact(connection, redaction, ANNA)
    assert await admin_core.sql("SELECT FROM admin_core.gdpr_export_parts") == []
    assert await admin_core.statuses() == ["cancelled"]


async def test_whose_a_redaction_was_is_forgotten_in_time(admin_core: AdminCore) -> None:
    await admin_core.ask("customers/redact", ANNA)
    for service in ("core", "points"):
        await admin_core.confirm(service)
    admin_core.pass_time(days=34)
    assert await admin_core.forgetting.run() == 0
    admin_core.pass_time(days=2)
    assert await admin_core.forgetting.run() == 1
    (row,) = await admin_core.requests()
    assert (row["customer_sealed"], row["customer_hash"]) == (None, None)


async def test_a_redacted_shop_leaves_nothing_that_can_be_read(
    admin_core: AdminCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(privacy_repository, "CHUNK", 1)
    for merchant in ("acme", "globex"):
        await live(admin_core, merchant)
        await admin_core.ask("customers/redact", BEN, merchant)
    (confirmed,) = await redact(admin_core, asked("shop_redact", None, "acme"))
    assert confirmed.counts == {"audit_subjects": 2, "requests": 1}
    assert await readable(admin_core) == [False, False, False, True]
    assert await readable(admin_core, "globex") == [True] * 4
    assert (await admin_core.statuses(), await admin_core.statuses("globex")) == (["cancelled"], ["open"])
    admin_core.store.destroy("acme")
    admin_core.keys.forget("acme")
    await admin_core.trail.handle([said(subject=f"customer:{ANNA}", reason="after all"), said("keys.destroyed", "x")])
    assert [dict(each.after) for each in await admin_core.entries()][:2] == [{}, {}]
    assert await admin_core.verified() == []


async def test_killed_anywhere_a_redaction_is_done_once(admin_core: AdminCore) -> None:
    deaths = 0
    async for database in killed_before_each_statement(admin_core.database, admin_core.url):
        await admin_core.sql(EMPTY)
        await live(admin_core)
        await admin_core.ask("customers/data_request", ANNA)
        await admin_core.ask("customers/redact", ANNA)
        event = await last_created(admin_core)
        mortal = AdminCore(database, admin_core.url, store=admin_core.store)
        deaths += await until_death(partial(mortal.privacy.handle, [event]))
        confirmed = await redact(admin_core, event)
        assert [each.counts for each in confirmed] == [{"audit_entries": 2, "requests": 1}]
        assert await readable(admin_core) == [False, True, False, True]
        assert await admin_core.verified() == []
    assert deaths > 5
