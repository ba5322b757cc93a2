"""Events to a merchant's own server: signatures, faults, rotation, replay, redaction, and who gets what."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from fixtures.mortal import MortalDatabase, until_death
from fixtures.privacy import asked
from integration.event_tracking.receiver import Receiver
from integration.event_tracking.support import EventTracking, until_done
from integration.event_tracking.victim import Victim
from loyalnest.event_tracking import webhook_delivery
from loyalnest.event_tracking.task_queue import LEASE
from loyalnest.gamification.events import BadgeAwarded
from loyalnest.kit.database import Pools
from loyalnest.kit.errors import Forbidden, InvalidInput, NotFound, PreconditionFailed
from loyalnest.kit.events import Event, new_id
from loyalnest.points.events import PointsExpired
from loyalnest.referrals.events import ReferralReversed

ANNA = 2**60 + 7


def expired(customer_id: int = ANNA, merchant_id: str = "acme", points: int = 5) -> Event:
    return PointsExpired(customer_id=customer_id, lot_id=new_id(), points=points).event(merchant_id, str(customer_id))


async def subscribe(tracking: EventTracking, url: str, *topics: str, merchant: str = "acme") -> Any:
    made = await tracking.call(
        "CreateWebhookSubscription", merchant=merchant, url=url, topics=topics or ["points.expired"]
    )
    return made.subscription.subscription_id, made.secret


async def tell(tracking: EventTracking, *events: Event) -> None:
    await until_done(lambda: tracking.webhook_events.handle(events))


async def deliveries(tracking: EventTracking, subscription_id: str, **fields: Any) -> list[Any]:
    found = await tracking.call("ListWebhookDeliveries", subscription_id=subscription_id, **fields)
    return list(found.deliveries)


async def actions(tracking: EventTracking) -> list[str]:
    return [each["action"] for each in await tracking.published("audit_log")]


async def test_an_event_arrives_signed_once_for_each_subscription_that_wants_it(
    tracking: EventTracking, receiver: Receiver
) -> None:
    first, secret = await subscribe(tracking, receiver.url)
    _, other_secret = await subscribe(tracking, receiver.url, "points.expired", "tier.changed")
    await subscribe(tracking, receiver.url, "tier.changed")
    event = expired()
    await tell(tracking, event, event, expired(merchant_id="globex"), expired(customer_id=-4))
    await tell(tracking, event)
    worker = tracking.worker("webhook")
    assert await worker.run_due() == 2
    assert await worker.run_due() == 0
    assert {each.id for each in receiver.got} == {str(event.id)}
    assert {each.body for each in receiver.got} == {receiver.got[0].body}
    assert sorted(each.signed_with(secret) for each in receiver.got) == [False, True]
    assert sorted(each.signed_with(other_secret) for each in receiver.got) == [False, True]
    told = receiver.got[0].json
    created_at = told.pop("created_at")
    assert msgspec.convert(created_at, type=type(event.occurred_at)) == event.occurred_at
    lot_id = str(PointsExpired.read(event).lot_id)
    assert told == {
        "id": str(event.id),
        "type": "points.expired",
        "merchant": "acme",
        "data": {"customer_id": str(ANNA), "lot_id": lot_id, "points": 5},
    }
    assert receiver.got[0].host == f"localhost:{receiver.port}"
    assert int(receiver.got[0].timestamp) == int(tracking.clock().timestamp())
    (delivery,) = await deliveries(tracking, first)
    assert (delivery.event_id, delivery.topic, delivery.status, delivery.answer) == (
        str(event.id), "points.expired", "done", "200",
    )  # fmt: skip
    assert [each.outcome for each in delivery.attempts] == ["delivered"]
    (row,) = await tracking.sql(
        "SELECT sealed FROM event_tracking.queue_tasks WHERE task_id = $1", delivery.delivery_id
    )
    assert b"points" not in row["sealed"], "kept for a replay, and sealed"


async def test_where_nobody_subscribed_nothing_is_written(tracking: EventTracking, receiver: Receiver) -> None:
    await subscribe(tracking, receiver.url, "badge.awarded")
    await tell(tracking, expired(), expired(merchant_id="globex"))
    for table in ("inbox", "recipients", "queue_tasks"):
        assert not await tracking.sql(f"SELECT FROM event_tracking.{table}"), table


async def test_faults_are_tried_again_under_the_same_id_until_it_is_taken(
    tracking: EventTracking, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking.queue._jitter = lambda: 0.0
    monkeypatch.setattr(webhook_delivery, "ANSWER_SECONDS", 0.3)
    subscription_id, secret = await subscribe(tracking, receiver.url)
    receiver.headers["Location"] = receiver.url
    receiver.answers.extend([500, 302, 404, 429, 0, -1, 204])
    event = expired()
    await tell(tracking, event)
    worker = tracking.worker("webhook")
    assert await worker.run_due() == 7
    assert len(receiver.got) == 7, "the redirect was not followed"
    assert {each.id for each in receiver.got} == {str(event.id)}
    assert all(each.signed_with(secret) for each in receiver.got)
    (delivery,) = await deliveries(tracking, subscription_id)
    assert (delivery.status, delivery.answer) == ("done", "204")
    assert [each.outcome for each in delivery.attempts] == ["not_taken"] * 4 + ["unknown"] * 2 + ["delivered"]
    assert "500" in delivery.attempts[0].error
    assert "Redirects are not followed" in delivery.attempts[1].error
    assert (await tracking.call("GetWebhookSubscription", subscription_id=subscription_id)).failing_since == ""


async def test_a_day_of_failure_is_told_and_all_that_failed_can_be_had_again(
    tracking: EventTracking, receiver: Receiver
) -> None:
    subscription_id, _ = await subscribe(tracking, receiver.url)
    failed = [expired(points=1), expired(points=2)]
    start = tracking.clock()
    await tell(tracking, *failed)
    receiver.answers.extend([500] * 60)
    worker = tracking.worker("webhook")
    await worker.run_due()
    assert (await tracking.call("GetWebhookSubscription", subscription_id=subscription_id)).status == "active"
    assert await tracking.jobs.tell_failing() == 0
    await tracking.finish(worker)
    assert tracking.clock() - start < timedelta(hours=26)
    found = await tracking.call("GetWebhookSubscription", subscription_id=subscription_id)
    assert found.status == "failing"
    assert (await tracking.jobs.tell_failing(), await tracking.jobs.tell_failing()) == (1, 0)
    assert await actions(tracking) == ["webhook.created", "webhook.failing"]
    assert {each.status for each in await deliveries(tracking, subscription_id)} == {"failed"}
    receiver.answers.clear()
    receiver.got.clear()
    since = (tracking.clock() - timedelta(days=2)).isoformat()
    replay = {"subscription_id": subscription_id, "failed_since": since}
    assert (await tracking.call("ReplayWebhookDeliveries", **replay)).deliveries == 2
    assert await worker.run_due() == 2
    assert {each.id for each in receiver.got} == {str(each.id) for each in failed}
    assert (await tracking.call("ReplayWebhookDeliveries", **replay)).deliveries == 0
    assert (await tracking.call("GetWebhookSubscription", subscription_id=subscription_id)).status == "active"
    (_, last) = await deliveries(tracking, subscription_id, status="done")
    one = {"subscription_id": subscription_id, "delivery_id": last.delivery_id}
    assert (await tracking.call("ReplayWebhookDeliveries", **one)).deliveries == 1
    assert await worker.run_due() == 1
    assert receiver.got[-1].id == last.event_id
    tracking.clock.advance(days=31)
    await tracking.jobs.prune()
    assert await deliveries(tracking, subscription_id) == []
    with pytest.raises(PreconditionFailed, match="too old"):
        await tracking.call("ReplayWebhookDeliveries", **one)


async def test_gone_disables_and_what_waits_is_not_delivered_until_it_is_enabled(
    tracking: EventTracking, receiver: Receiver
) -> None:
    subscription_id, _ = await subscribe(tracking, receiver.url)
    await tell(tracking, expired())
    receiver.answers.append(410)
    worker = tracking.worker("webhook")
    await worker.run_due()
    found = await tracking.call("GetWebhookSubscription", subscription_id=subscription_id)
    assert (found.status, found.enabled, "410" in found.disabled_reason) == ("disabled", False, True)
    await tell(tracking, expired())
    (delivery,) = await deliveries(tracking, subscription_id)
    one = {"subscription_id": subscription_id, "delivery_id": delivery.delivery_id}
    with pytest.raises(PreconditionFailed, match="enable it first"):
        await tracking.call("ReplayWebhookDeliveries", **one)
    await tracking.call("UpdateWebhookSubscription", subscription_id=subscription_id, enabled=True)
    await tracking.call("ReplayWebhookDeliveries", **one)
    await tracking.call("DeleteWebhookSubscription", subscription_id=subscription_id)
    await worker.run_due()
    assert len(receiver.got) == 1
    assert (await tracking.task(delivery.delivery_id))["error"] == "Its subscription was deleted."
    assert await actions(tracking) == [
        "webhook.created", "webhook.disabled", "webhook.updated", "webhook.replayed", "webhook.deleted",
    ]  # fmt: skip


async def test_the_audit_log_has_no_key_that_stands_in_a_query(tracking: EventTracking, receiver: Receiver) -> None:
    place = receiver.url.partition("?")[0]
    subscription_id, _ = await subscribe(tracking, f"{place}?key=hush")
    for url in (f"{place}?key=hush-hush", "https://example.com/hooks"):
        await tracking.call("UpdateWebhookSubscription", subscription_id=subscription_id, url=url)
    await tracking.call("DeleteWebhookSubscription", subscription_id=subscription_id)
    told = await tracking.published("audit_log")
    assert [each["after"].get("url") for each in told] == [
        f"{place}?…", f"{place}?…", "https://example.com/hooks", None,
    ]  # fmt: skip
    assert "hush" not in str(told)


async def test_during_a_rotation_both_secrets_sign(tracking: EventTracking, receiver: Receiver) -> None:
    subscription_id, old = await subscribe(tracking, receiver.url)
    rotated = await tracking.call("RotateWebhookSecret", subscription_id=subscription_id, overlap_hours=2)
    worker = tracking.worker("webhook")
    for signed_by_old, hours in ((True, 0), (False, 2)):
        tracking.clock.advance(hours=hours)
        await tell(tracking, expired())
        await worker.run_due()
        assert receiver.got[-1].signed_with(rotated.secret)
        assert receiver.got[-1].signed_with(old) is signed_by_old
        found = await tracking.call("GetWebhookSubscription", subscription_id=subscription_id)
        assert bool(found.previous_secret_until) is signed_by_old
    assert rotated.secret not in str(await tracking.published("audit_log"))


async def test_private_addresses_are_refused_at_the_door_and_at_the_delivery(
    tracking: EventTracking, receiver: Receiver
) -> None:
    subscription_id, _ = await subscribe(tracking, receiver.url)
    await tell(tracking, expired())
    await tracking.worker("webhook", webhooks_to_private_addresses=False).run_due()
    assert receiver.got == []
    (delivery,) = await deliveries(tracking, subscription_id)
    assert delivery.status == "waiting"
    assert "private address" in delivery.last_error


async def test_a_redacted_customer_is_told_of_no_more_and_nothing_is_kept_to_repeat(
    tracking: EventTracking, receiver: Receiver
) -> None:
    subscription_id, _ = await subscribe(tracking, receiver.url)
    await tell(tracking, expired())
    worker = tracking.worker("webhook")
    await worker.run_due()
    tracking.clock.now = expired().occurred_at + timedelta(days=1)
    await tell(tracking, expired(), expired(customer_id=5))
    (confirmed,) = await tracking.ask(asked("customer_redact", ANNA, "acme"))
    assert confirmed.counts == {"tasks": 2, "cancelled": 1}
    await tell(tracking, expired())
    assert await worker.run_due() == 1
    assert [each.json["data"]["customer_id"] for each in receiver.got] == [str(ANNA), "5"]
    found = await deliveries(tracking, subscription_id)
    with pytest.raises(PreconditionFailed, match="redacted"):
        await tracking.call(
            "ReplayWebhookDeliveries", subscription_id=subscription_id, delivery_id=found[-1].delivery_id
        )
    await tracking.ask(asked("shop_redact", None, "acme"))
    assert not await tracking.sql("SELECT FROM event_tracking.webhook_subscriptions")


async def test_of_a_referral_only_the_referrer_is_named(tracking: EventTracking, receiver: Receiver) -> None:
    await subscribe(tracking, receiver.url, "referral.reversed", "badge.awarded")
    now = tracking.clock()
    reversed_ = ReferralReversed(referral_id="r1", referrer_id=ANNA, friend_id=77, reversed_at=now)
    badge = BadgeAwarded(customer_id=ANNA, badge="fan", title="Fan", at=now)
    for event in (reversed_, badge):
        await tell(tracking, event.event("acme", "1"))
    await tracking.worker("webhook").run_due()
    by_type = {each.json["type"]: each.json["data"] for each in receiver.got}
    assert by_type["referral.reversed"].keys() == {"customer_id", "referral_id", "reversed_at"}
    assert by_type["badge.awarded"].keys() == {"customer_id", "badge", "title", "revoked", "at"}


async def test_taking_events_in_that_is_killed_anywhere_makes_each_task_once(
    tracking: EventTracking, migrated: str, receiver: Receiver
) -> None:
    await subscribe(tracking, receiver.url)
    kills, died = 0, True
    while died:
        kills += 1
        batch = [expired(customer_id=kills)]
        pools = Pools(1)
        database = MortalDatabase(tracking.database, await pools.open(migrated), kills)
        victim = EventTracking(database, tracking.clock, tracking.store)
        died = await until_death(lambda: victim.webhook_events.handle(batch))  # noqa: B023 - run at once
        await pools.close()
        await tell(tracking, *batch)
        assert len(await tracking.sql("SELECT FROM event_tracking.queue_tasks")) == kills
    assert kills > 4


async def test_a_worker_killed_anywhere_delivers_at_least_once_under_one_id(
    tracking: EventTracking, migrated: str, receiver: Receiver
) -> None:
    await subscribe(tracking, receiver.url)
    worker = tracking.worker("webhook")
    told: list[str] = []
    settings = {"webhooks_to_private_addresses": True}
    async with Victim(tracking, migrated, kind="webhook", **settings) as victim:
        outlived = False
        while not outlived:
            event = expired(customer_id=len(told) + 1)
            await tell(tracking, event)
            told.append(str(event.id))
            outlived = await victim.work(len(told), tracking.clock())
            tracking.clock.advance(seconds=LEASE.total_seconds())
            await tracking.finish(worker)
    assert len(told) > 10
    assert {each.id for each in receiver.got} == set(told)
    assert len(receiver.got) > len(told), "no kill fell between its being taken and its being noted"
    rows = await tracking.sql("SELECT DISTINCT status FROM event_tracking.queue_tasks")
    assert [row["status"] for row in rows] == ["done"]


async def test_what_cannot_be_is_refused(tracking: EventTracking, receiver: Receiver) -> None:
    subscription_id, _ = await subscribe(tracking, receiver.url)
    one, other = {"subscription_id": subscription_id}, {"subscription_id": str(new_id())}
    good = {"url": "https://example.com/", "topics": ["points.earned"]}
    for method, fields, error in (
        ("CreateWebhookSubscription", good | {"url": "http://example.com/"}, InvalidInput),
        ("CreateWebhookSubscription", good | {"topics": []}, InvalidInput),
        ("CreateWebhookSubscription", good | {"topics": ["order.received"]}, InvalidInput),
        ("UpdateWebhookSubscription", one | {"url": "ftp://x"}, InvalidInput),
        ("UpdateWebhookSubscription", other | {"enabled": True}, NotFound),
        ("GetWebhookSubscription", {"subscription_id": "x"}, InvalidInput),
        ("DeleteWebhookSubscription", other, NotFound),
        ("RotateWebhookSecret", one | {"overlap_hours": 169}, InvalidInput),
        ("RotateWebhookSecret", other, NotFound),
        ("ListWebhookDeliveries", one | {"status": "lost"}, InvalidInput),
        ("ListWebhookDeliveries", other, NotFound),
        ("ReplayWebhookDeliveries", one, InvalidInput),
        ("ReplayWebhookDeliveries", one | {"delivery_id": str(new_id()), "failed_since": "2026-05-01T00:00:00Z"},
         InvalidInput),
        ("ReplayWebhookDeliveries", one | {"failed_since": "2026-05-01"}, InvalidInput),
        ("ReplayWebhookDeliveries", one | {"delivery_id": str(new_id())}, PreconditionFailed),
    ):  # fmt: skip
        with pytest.raises(error):
            await tracking.call(method, **fields)
        if not method.startswith(("Get", "List")):
            with pytest.raises(Forbidden):
                await tracking.call(method, role="support", **fields)
    for method in ("GetWebhookSubscription", "DeleteWebhookSubscription", "ListWebhookDeliveries"):
        with pytest.raises(NotFound):
            await tracking.call(method, merchant="globex", **one)
    for _ in range(19):
        await subscribe(tracking, receiver.url)
    with pytest.raises(PreconditionFailed, match="at most 20"):
        await subscribe(tracking, receiver.url)
    assert len((await tracking.call("ListWebhookSubscriptions")).subscriptions) == 20
    assert len((await tracking.call("ListWebhookSubscriptions", merchant="globex")).subscriptions) == 0
