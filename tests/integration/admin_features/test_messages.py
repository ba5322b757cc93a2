"""From events to messages: what is told, to whom, in which words, once."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from fixtures.mortal import killed_before_each_statement, until_death
from integration.admin_features.support import START, Rig, token_in
from loyalnest.campaign.events import TierChanged
from loyalnest.core.events import CustomerCreated, SettingsChanged
from loyalnest.gamification.events import BadgeAwarded
from loyalnest.kit.errors import Unavailable
from loyalnest.kit.events import new_id
from loyalnest.points.events import PointsExpiring, PointsRedeemed
from loyalnest.referrals.events import ReferralCompleted


async def test_an_order_becomes_a_mail_in_the_customers_language(rig: Rig) -> None:
    address = await rig.customer(1, locale="de-AT")
    await rig.tell(rig.earned(1, 1200))
    ((event, message),) = await rig.sent()
    assert (event.channel, event.customer_id, event.reason) == ("email", 1, "points_earned")
    assert event.expires_at == START + timedelta(days=2)
    assert (message.to, message.sender) == (address, "Acme Tea <mail@loyalty.example>")
    assert message.subject == "1.200 Punkte für deine Bestellung bei Acme Tea"
    assert "Danke für deine Bestellung, Anna!" in message.text
    assert '<html lang="de">' in message.html
    link = f"https://loyalty.example/email/unsubscribe/{token_in(message)}"
    assert message.headers["List-Unsubscribe"] == f"<{link}>"
    assert message.headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert link in message.text
    assert link in message.html
    assert address.encode() not in event.sealed
    assert await rig.statuses() == [("points_earned", "queued", "")]


@pytest.mark.parametrize(
    ("locale", "subject"),
    [
        ("fr-CA", "Vous avez gagné 120 points chez Acme Tea"),
        ("es", "Has ganado 120 puntos en Acme Tea"),
        ("ja-JP", "Acme Teaで120ポイントがたまりました"),
        ("tlh", "120 Punkte für deine Bestellung bei Acme Tea"),  # the merchant's default
        ("", "120 Punkte für deine Bestellung bei Acme Tea"),
    ],
)
async def test_languages(rig: Rig, locale: str, subject: str) -> None:
    await rig.settings(default_language="de")
    await rig.customer(1, locale=locale)
    await rig.tell(rig.earned())
    assert [message.subject for _, message in await rig.sent()] == [subject]


async def test_every_event_makes_its_message(rig: Rig) -> None:
    await rig.settings(daily_cap=50)
    await rig.customer(1)
    now = rig.clock.now
    await rig.tell(
        rig.event(CustomerCreated(customer_id=1, source="shopify", created_at=now)),
        rig.earned(1),
        rig.event(PointsExpiring(customer_id=1, points=70, expires_at=now + timedelta(days=14))),
        rig.event(PointsRedeemed(customer_id=1, redemption_id=new_id(), reward="five-off", points=500)),
        rig.event(
            TierChanged(customer_id=1, tier="Gold", previous_tier="Silver", multiplier=Decimal("1.50"), changed_at=now)
        ),
        rig.event(
            ReferralCompleted(
                referral_id="r", referrer_id=1, friend_id=2, referrer_points=200, friend_points=0, completed_at=now
            )
        ),
        await rig.shared(1, "friend@example.org"),
        await rig.shared(1, "+4915155555555", "sms"),
        rig.event(BadgeAwarded(customer_id=1, badge="five", title="Five orders", at=now)),
    )
    sent = {(event.reason, event.channel): message for event, message in await rig.sent()}
    assert len(sent) == 9
    assert "50 points" in sent["joining", "email"].text
    assert sent["points_expiring", "email"].subject == "70 points at Acme Tea will expire on March 16, 2026"
    assert "1.5 times" in sent["tier_changed", "email"].text
    assert "200 points" in sent["referral_completed", "email"].text
    invitation = sent["referral_invitation", "email"]
    assert (invitation.to, invitation.subject) == ("friend@example.org", "Anna invites you to Acme Tea")
    assert "https://acme.example/?ref=MARIA7" in invitation.text
    assert "once" in invitation.text
    sms = sent["referral_invitation", "sms"]
    assert (sms.to, sms.html, sms.headers) == ("+4915155555555", "", {})
    assert sms.text == "Anna invites you to Acme Tea and you get 50 points: https://acme.example/?ref=MARIA7"


async def test_what_is_not_worth_a_mail(rig: Rig) -> None:
    await rig.customer(1)
    now = rig.clock.now
    await rig.tell(
        rig.earned(1, 9),
        rig.earned(1, 0),
        rig.earned(1, 500, reason="adjustment", order_id=None, placed_at=None),
        rig.earned(1, 500, reason="joining", order_id=None, placed_at=None),
        rig.earned(-7, 500),
        rig.event(CustomerCreated(customer_id=1, source="import", created_at=now)),
        rig.event(PointsRedeemed(customer_id=1, redemption_id=new_id(), reward="r", points=1, cancelled=True)),
        rig.event(TierChanged(customer_id=1, tier="Silver", multiplier=Decimal(1), changed_at=now)),
        rig.event(
            TierChanged(
                customer_id=1,
                tier="Silver",
                previous_tier="Gold",
                upgrade=False,
                multiplier=Decimal(1),
                changed_at=now,
            )
        ),
        rig.event(BadgeAwarded(customer_id=1, badge="five", title="Five", revoked=True, at=now)),
    )
    assert await rig.statuses() == []


async def test_years_of_old_orders_mail_nobody(rig: Rig) -> None:
    """Nor does what they cause today: tiers, badges, referrals, expiring points and new customers."""
    old = rig.clock.now - timedelta(days=400)
    events = []
    for customer_id in range(1, 6):
        await rig.customer(customer_id, created_at=old)
        events += [rig.earned(customer_id, 100 + n, placed_at=old + timedelta(days=n)) for n in range(20)]
    now = rig.clock.now
    caused = [
        rig.event(
            TierChanged(customer_id=1, tier="Gold", previous_tier="Silver", multiplier=Decimal(2), changed_at=now)
        ),
        rig.event(BadgeAwarded(customer_id=2, badge="five", title="Five orders", at=now)),
        rig.event(
            ReferralCompleted(
                referral_id="r", referrer_id=3, friend_id=2, referrer_points=2, friend_points=0, completed_at=now
            )
        ),
        rig.event(PointsExpiring(customer_id=4, points=70, expires_at=now + timedelta(days=14))),
        *(rig.event(CustomerCreated(customer_id=n, source="order", created_at=now)) for n in range(1, 6)),
    ]
    await rig.notices.handle(caused)  # they may be seen before the orders are
    rig.lag = 10_000
    rig.clock.advance(seconds=20)
    await rig.sending.run()
    await rig.notices.handle(events)
    rig.lag = 0
    rig.clock.advance(seconds=60)
    await rig.sending.run()
    assert await rig.sent() == []
    reasons = {(kind, reason) for kind, _, reason in await rig.statuses()}
    assert reasons == {
        ("tier_changed", "history"),
        ("badge_awarded", "history"),
        ("referral_completed", "history"),
        ("points_expiring", "history"),
        ("joining", "stale"),
    }


async def test_news_after_an_import_is_news_again(rig: Rig) -> None:
    await rig.customer(1)
    await rig.tell(rig.earned(1, placed_at=START - timedelta(days=4)))
    rig.clock.advance(days=1, minutes=1)
    await rig.tell(rig.event(BadgeAwarded(customer_id=1, badge="b", title="B", at=rig.clock.now)))
    assert len(await rig.sent()) == 1
    assert await rig.sending.tidy() == 1  # the mark


async def test_the_same_fact_is_told_once(rig: Rig) -> None:
    await rig.customer(1)
    event = rig.earned(1)
    again = msgspec.structs.replace(event, id=new_id())
    await rig.tell(event, event)
    await rig.tell(event)
    await rig.tell(again)
    assert len(await rig.sent()) == 1


async def test_a_customer_whom_core_does_not_know_yet_is_waited_for(rig: Rig) -> None:
    await rig.tell(rig.earned(1), rig.earned(2))
    assert {status for _, status, _ in await rig.statuses()} == {"pending"}
    await rig.customer(1)
    rig.clock.advance(seconds=31)
    await rig.sending.run()
    assert [event.customer_id for event, _ in await rig.sent()] == [1]
    rig.clock.advance(minutes=15)
    await rig.sending.run()
    assert ("points_earned", "suppressed", "unknown_customer") in await rig.statuses()


async def test_a_customer_without_an_address_and_the_cap(rig: Rig) -> None:
    await rig.customer(1, None)
    await rig.customer(2)
    await rig.settings(daily_cap=2)
    await rig.tell(rig.earned(1), *(rig.earned(2) for _ in range(4)))
    redeemed = PointsRedeemed(customer_id=2, redemption_id=new_id(), reward="r", points=5)
    await rig.tell(rig.event(redeemed))  # what somebody just did is confirmed all the same
    reasons = [reason for _, _, reason in await rig.statuses()]
    assert sorted(reasons) == ["", "", "", "daily_cap", "daily_cap", "no_address"]
    rig.clock.advance(days=1)
    await rig.tell(rig.earned(2))
    assert len(await rig.sent()) == 4


async def test_one_address_is_invited_once_a_month_and_nobody_invites_the_world(rig: Rig) -> None:
    for customer_id in (1, 2):
        await rig.customer(customer_id)
    await rig.tell(await rig.shared(1, "friend@example.org"), await rig.shared(2, "Friend@Example.org "))
    assert [reason for _, _, reason in await rig.statuses()] == ["", "invited_before"]
    await rig.tell(*[await rig.shared(1, f"f{n}@example.org") for n in range(25)])
    assert len(await rig.sent()) == 20
    rig.clock.advance(days=30)
    await rig.tell(await rig.shared(2, "friend@example.org"))
    assert len(await rig.sent()) == 21
    (row,) = await rig.sql("SELECT count(sealed) AS kept FROM admin_features.email_events")
    assert row["kept"] == 0


async def test_a_name_that_is_an_advertisement_is_left_out(rig: Rig) -> None:
    await rig.customer(1, first_name="Win at www.casino.example")
    await rig.tell(await rig.shared(1, "friend@example.org"))
    ((_, message),) = await rig.sent()
    assert "casino" not in message.subject + message.text + message.html
    assert message.subject == "A friend invites you to Acme Tea"


async def test_markup_in_names_is_text(rig: Rig) -> None:
    await rig.customer(1, first_name="Tom & Jo")
    await rig.tell(rig.event(BadgeAwarded(customer_id=1, badge="b", title="<script>alert(1)</script>", at=START)))
    ((_, message),) = await rig.sent()
    assert "<script>" not in message.html
    assert "&lt;script&gt;" in message.html
    assert "Tom &amp; Jo" in message.html
    assert "Tom & Jo" in message.text


async def test_two_merchants_never_share_a_message(rig: Rig) -> None:
    await rig.settings("brew", shop_name="Brewers & Co", minimum_points=1000)
    for merchant in ("acme", "brew"):
        await rig.customer(1, merchant=merchant)
    await rig.tell(rig.earned(1), rig.earned(1, merchant="brew"), rig.earned(1, 2000, merchant="brew"))
    ((_, acme),) = await rig.sent("acme")
    ((_, brew),) = await rig.sent("brew")
    assert (acme.to, brew.to) == ("c1@acme.example", "c1@brew.example")
    assert brew.subject == "You earned 2,000 points at Brewers & Co"


async def test_a_merchant_without_settings_holds_its_events_back(rig: Rig) -> None:
    with pytest.raises(Exception, match="No e-mail settings of nobody"):
        await rig.notices.handle([rig.earned(1, merchant="nobody")])


async def test_core_away_and_one_merchants_trouble_stop_nobody_else(rig: Rig, monkeypatch: Any) -> None:
    for merchant in ("acme", "brew"):
        await rig.customer(1, merchant=merchant)
    await rig.notices.handle([rig.earned(1), rig.earned(1, merchant="brew")])
    asked = rig.sending._contacts

    async def away(merchant_id: str, customers: set[int]) -> Any:
        if merchant_id == "acme":
            raise Unavailable("core is away")
        return await asked(merchant_id, customers)

    monkeypatch.setattr(rig.sending, "_contacts", away)
    await rig.sending.run()
    assert (len(await rig.sent("acme")), len(await rig.sent("brew"))) == (0, 1)
    monkeypatch.undo()
    await rig.sending.run()
    assert await rig.sent("acme") == []  # not at once
    rig.clock.advance(seconds=30)
    await rig.sending.run()
    assert len(await rig.sent("acme")) == 1


async def test_destroyed_keys_and_a_message_that_is_too_late(rig: Rig) -> None:
    await rig.customer(1)
    await rig.notices.handle([rig.earned(1)])
    rig.clock.advance(days=3)
    await rig.sending.run()
    assert await rig.statuses() == [("points_earned", "suppressed", "stale")]
    await rig.notices.handle([rig.earned(1, merchant="brew")])
    rig.store.destroy("brew")
    await rig.sending.run()
    rig.clock.advance(minutes=16)
    await rig.sending.run()
    assert await rig.statuses("brew") == [("points_earned", "suppressed", "keys_destroyed")]


async def test_rules_are_followed(rig: Rig) -> None:
    """The joining points and the time zone are the merchant's."""
    await rig.customer(1)
    rules = {
        "earning": {"rules": [{"name": "j", "trigger": "customer", "points": 7}]},
        "rfm": {"timezone": "Asia/Tokyo"},
    }
    changed = SettingsChanged(
        version=2, rules=msgspec.Raw(msgspec.json.encode(rules)), changed_by="x", changed_at=START
    )
    await rig.rules_consumer.settings_changed([rig.event(changed)])
    expires_at = START.replace(hour=20) + timedelta(days=14)  # the next day in Tokyo
    await rig.tell(
        rig.event(CustomerCreated(customer_id=1, source="shopify", created_at=START)),
        rig.event(PointsExpiring(customer_id=1, points=70, expires_at=expires_at)),
    )
    sent = {event.reason: message for event, message in await rig.sent()}
    assert "7 points" in sent["joining"].text
    assert "March 17, 2026" in sent["points_expiring"].text


async def test_killed_anywhere_each_message_is_made_once(rig: Rig) -> None:
    kills = 0
    async for database in killed_before_each_statement(rig.database, rig.url):
        kills += 1
        await rig.customer(kills)
        event = rig.earned(kills)
        victim = Rig(rig.pool, rig.url, rig, database)

        async def work(victim: Rig = victim, event: Any = event) -> None:
            await victim.notices.handle([event])
            await victim.sending.run()

        await until_death(work)
        await rig.notices.handle([event])
        rig.clock.advance(seconds=31)
        await rig.sending.run()
        assert [event.customer_id for event, _ in await rig.sent()] == list(range(1, kills + 1))
    assert kills > 12
