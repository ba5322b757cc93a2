"""Shops that leave, come back, or stay away: what is scheduled, cancelled, refused and told again."""

from datetime import timedelta

import msgspec
import pytest

from integration.admin_core.support import START, AdminCore, wanted
from loyalnest.admin_core import admin_core_pb2 as pb
from loyalnest.admin_core import saga
from loyalnest.admin_core.events import GdprRequestCompleted
from loyalnest.kit.errors import Conflict, Forbidden, PreconditionFailed


async def test_uninstalling_schedules_and_coming_back_cancels(admin_core: AdminCore) -> None:
    await admin_core.deliveries.handle(
        [await admin_core.delivered("app/uninstalled"), await admin_core.delivered("app/uninstalled")]
    )
    (request,) = await admin_core.requests()
    assert (request["status"], request["starts_at"]) == ("scheduled", START + timedelta(hours=48))
    assert request["due_at"] == request["starts_at"] + saga.TIME_TO_DO
    admin_core.pass_time(hours=47, minutes=59)
    assert await admin_core.advance.run() == 0
    event = admin_core.come_back()
    await admin_core.deliveries.installed([event, event])
    assert await admin_core.statuses() == ["cancelled"]
    # A late repetition of the first uninstallation is not about the second installation.
    await admin_core.deliveries.handle([await admin_core.delivered("app/uninstalled", at=START)])
    assert await admin_core.statuses() == ["cancelled"]
    admin_core.pass_time(hours=1)
    await admin_core.deliveries.handle([await admin_core.delivered("app/uninstalled")])
    assert await admin_core.statuses() == ["cancelled", "scheduled"]
    admin_core.pass_time(hours=48)
    await admin_core.advance.run()
    assert await admin_core.statuses() == ["cancelled", "open"]
    assert [each.kind for each in await admin_core.created()] == ["shop_redact"]


async def test_a_return_that_is_not_told_yet_counts(admin_core: AdminCore) -> None:
    """The event waits on the bus while admin_core is down; auth knows."""
    await admin_core.deliveries.handle([await admin_core.delivered("app/uninstalled")])
    admin_core.pass_time(hours=20)
    told = admin_core.come_back()
    admin_core.pass_time(hours=40)
    await admin_core.advance.run()
    assert (await admin_core.statuses(), await admin_core.created()) == (["cancelled"], [])
    await admin_core.deliveries.handle([await admin_core.delivered("shop/redact")])
    assert (await admin_core.statuses(), await admin_core.created()) == (["cancelled", "refused"], [])
    await admin_core.deliveries.installed([told])
    assert "again after" in (await admin_core.requests())[1]["reason"]


async def test_shopifys_own_redaction_is_the_scheduled_one(admin_core: AdminCore) -> None:
    await admin_core.deliveries.handle([await admin_core.delivered("app/uninstalled")])
    admin_core.pass_time(hours=47)
    for _ in range(2):
        await admin_core.deliveries.handle([await admin_core.delivered("shop/redact")])
    await admin_core.deliveries.handle([await admin_core.delivered("app/uninstalled")])
    assert await admin_core.statuses() == ["open"]
    assert [each.kind for each in await admin_core.created()] == ["shop_redact"]
    admin_core.store.destroy("acme")  # nothing from here on may need keys
    admin_core.keys.forget("acme")
    for service in ("core", "points"):
        await admin_core.confirm(service)
    assert await admin_core.statuses() == ["completed"]
    empty = msgspec.structs.replace(await admin_core.delivered("shop/redact", merchant="globex"), merchant_id="acme")
    await admin_core.deliveries.handle([empty])
    assert await admin_core.statuses() == ["completed"]


async def test_a_shops_redaction_without_a_known_uninstallation_is_done(admin_core: AdminCore) -> None:
    admin_core.installed["acme"] = START - timedelta(hours=49)
    await admin_core.deliveries.handle([await admin_core.delivered("shop/redact")])
    admin_core.installed["globex"] = START - timedelta(hours=47)
    await admin_core.deliveries.handle([await admin_core.delivered("shop/redact", merchant="globex")])
    assert (await admin_core.statuses(), await admin_core.statuses("globex")) == (["open"], ["refused"])


async def test_a_shops_redaction_covers_what_its_customers_asked_for(admin_core: AdminCore) -> None:
    await admin_core.ask("customers/redact")
    await admin_core.ask("customers/data_request")
    await admin_core.deliveries.handle([await admin_core.delivered("shop/redact")])
    for service in ("core", "points"):
        await admin_core.confirm(service)
    assert await admin_core.statuses() == ["cancelled", "cancelled", "completed"]
    admin_core.store.destroy("acme")
    admin_core.keys.forget("acme")
    late = await admin_core.delivered("customers/redact", {"customer": {"id": 7}}, merchant="globex")
    await admin_core.deliveries.handle([msgspec.structs.replace(late, merchant_id="acme")])
    assert (await admin_core.requests())[-1]["status"] == "refused"
    with pytest.raises(PreconditionFailed, match="redacted"):
        await admin_core.call("CreateGdprRequest", wanted())


async def test_a_shops_redaction_is_told_again_unless_the_shop_came_back(admin_core: AdminCore) -> None:
    await admin_core.deliveries.handle([await admin_core.delivered("shop/redact")])
    for service in ("core", "points"):
        await admin_core.confirm(service)
    replay = pb.ReplayGdprRequestsRequest(since=START.isoformat())
    assert (await admin_core.call("ReplayGdprRequests", replay, role="system")).told == 1
    assert len(await admin_core.told(GdprRequestCompleted.topic)) == 2  # the keys may have come back, too
    admin_core.pass_time(days=1)
    admin_core.come_back()
    assert (await admin_core.call("ReplayGdprRequests", replay, role="system")).told == 0


async def test_a_platforms_admin_may_redact_a_shop_that_left(admin_core: AdminCore) -> None:
    shop = wanted(kind="shop_redact", customer_id=0)
    with pytest.raises(Forbidden):
        await admin_core.call("CreateGdprRequest", shop)
    with pytest.raises(PreconditionFailed, match="uninstall"):
        await admin_core.call("CreateGdprRequest", shop, role="system")
    await admin_core.deliveries.handle([await admin_core.delivered("app/uninstalled")])
    with pytest.raises(PreconditionFailed, match="scheduled"):
        await admin_core.call("CreateGdprRequest", shop, role="system")
    await admin_core.sql("UPDATE admin_core.gdpr_requests SET status = 'cancelled', ended_at = now()")
    made = await admin_core.call("CreateGdprRequest", shop, role="system")
    again = await admin_core.call("CreateGdprRequest", shop, role="system")
    assert (made.status, made.request_id) == ("open", again.request_id)
    with pytest.raises(Conflict):
        await admin_core.call("CreateGdprRequest", wanted(), role="system")
