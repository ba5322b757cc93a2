"""Links, shares and clicks, and what is counted of them."""

import asyncio
from datetime import timedelta

import pytest

from integration.referrals.support import START, Rig, person, program_rules
from loyalnest.kit.errors import InvalidInput, NotFound, PreconditionFailed, RateLimited
from loyalnest.kit.events import Event, new_id
from loyalnest.referrals import codes
from loyalnest.referrals.events import SHARE_PURPOSE, ReferralShared
from loyalnest.referrals.sharing import SHARES_A_DAY


async def test_a_customer_has_one_code_however_often_it_is_asked_for(rig: Rig) -> None:
    made = await asyncio.gather(*(rig.links.create("acme", 1) for _ in range(5)))
    assert len({each.code for each in made}) == 1
    assert await rig.code(2) != made[0].code
    assert await rig.links.url("acme", made[0].code) == f"https://acme.myshopify.com/?ref={made[0].code}"


async def test_a_code_that_is_taken_is_drawn_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.add_merchant("globex")
    drawn = iter(["TAKEN", "TAKEN", "TAKEN", "FREE", "TAKEN"])
    monkeypatch.setattr(codes, "new_code", lambda: next(drawn))
    assert [await rig.code(1), await rig.code(2)] == ["TAKEN", "FREE"]
    assert await rig.code(1, "globex") == "TAKEN", "codes are unique in a merchant's shop"


async def test_where_no_referrals_are_offered_there_are_no_links(rig: Rig) -> None:
    async with rig.database.request("plain") as connection:
        await rig.projection.seed(connection, "plain", program_rules(offered=False))
    with pytest.raises(PreconditionFailed, match="offers no referrals"):
        await rig.code(merchant_id="plain")
    assert await rig.service.offer("plain") is None
    with pytest.raises(NotFound, match="nobody"):
        await rig.code(merchant_id="nobody")


async def test_clicks_are_counted_by_channel_and_day(rig: Rig) -> None:
    code = await rig.code()
    for written, channel in ((code, ""), (code.lower(), "link"), (f"{code}:sms", ""), (code, "pigeon")):
        assert await rig.links.click("acme", written, channel)
    rig.clock.advance(days=3)
    await asyncio.gather(*(rig.links.click("acme", code, "email") for _ in range(10)))

    async def clicks(days: int) -> dict[str, int]:
        return {each.channel: each.clicks for each in (await rig.service.stats("acme", days)).channels}

    assert await clicks(0) == {"link": 3, "sms": 1, "email": 10}
    assert await clicks(1) == {"email": 10}
    for nobodys in ("", "NOBODYS", "x y", "'; --"):
        assert not await rig.links.click("acme", nobodys, "")


async def test_a_share_is_told_sealed_and_once(rig: Rig) -> None:
    code = await rig.code()
    share, link = await rig.sharing.share("acme", 1, "email", " B.ob+x@gmail.com ")
    again, _ = await rig.sharing.share("acme", 1, "email", "bob@googlemail.com")
    assert again == share
    (told,) = await rig.told("referral.shared")
    assert (told["link"], told["friend_points"], told["channel"]) == (link, 250, "email")
    assert link == f"https://acme.myshopify.com/?ref={code}:email"
    assert "gmail" not in str(told)
    keys = await rig.ring.for_merchant("acme")
    rows = await rig.sql("SELECT payload FROM referrals.outbox WHERE topic = 'referral.shared'")
    event = Event(id=new_id(), topic="", merchant_id="acme", key="", payload=rows[0]["payload"], occurred_at=START)
    assert keys.open(SHARE_PURPOSE, ReferralShared.read(event).sealed) == b"B.ob+x@gmail.com"
    await rig.sharing.share("acme", 1, "sms", "0049 30 123456")
    await rig.sharing.share("acme", 2, "email", "bob@gmail.com")
    assert [each["channel"] for each in await rig.told("referral.shared")] == ["email", "sms", "email"]
    page, token = await rig.sharing.listed("acme", 1, 1, "")
    rest, end = await rig.sharing.listed("acme", 1, 5, token)
    assert [each.channel for each, _ in (*page, *rest)] == ["sms", "email"]
    assert end == ""


async def test_shares_are_limited_by_the_day(rig: Rig) -> None:
    for number in range(SHARES_A_DAY):
        await rig.sharing.share("acme", 1, "email", f"friend-{number}@example.com")
    with pytest.raises(RateLimited, match=f"{SHARES_A_DAY} friends a day"):
        await rig.sharing.share("acme", 1, "sms", "+49 30 123456")
    await rig.sharing.share("acme", 1, "email", "friend-0@example.com")  # who was invited is no new invitation
    await rig.sharing.share("acme", 2, "sms", "+49 30 123456")
    rig.clock.advance(days=1)
    await rig.sharing.share("acme", 1, "sms", "+49 30 123456")


async def test_one_does_not_invite_oneself(rig: Rig) -> None:
    await rig.meet(1, person("anna@gmail.com", "+12175550123"))
    for channel, address in (("email", "AN.NA+1@gmail.com"), ("sms", "+1 217 555 0123")):
        with pytest.raises(PreconditionFailed, match="own address"):
            await rig.sharing.share("acme", 1, channel, address)
    assert await rig.told("referral.shared") == []


@pytest.mark.parametrize(
    ("channel", "address"),
    [
        ("email", ""), ("email", "x"), ("email", "a@b"), ("email", "a@b.de, c@d.de"), ("email", "a@b.de\nBcc: c@d.de"),
        ("email", "x" * 320 + "@example.com"), ("email", "Bob <bob@example.com>"), ("sms", "030 123456"), ("sms", "+"),
        ("sms", "+0123456789"), ("sms", "+1234567890123456"), ("sms", "bob@example.com"), ("link", "bob@example.com"),
        ("", "bob@example.com"), ("pigeon", "bob@example.com"),
    ],
)  # fmt: skip
async def test_an_address_that_is_none(rig: Rig, channel: str, address: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await rig.sharing.share("acme", 1, channel, address)
    assert "bob" not in refused.value.detail
    assert await rig.sql("SELECT 1 FROM referrals.referral_shares") == []


async def test_the_rates_of_a_channel(rig: Rig) -> None:
    for friend in range(2, 5):
        await rig.sharing.share("acme", 1, "sms", f"+4930123456{friend}")
    code = await rig.code()
    await rig.links.click("acme", f"{code}:sms", "")
    await rig.buy(f"{code}:sms", 2)
    await rig.buy(f"{code}:sms", 3, base="1")
    rig.clock.advance(days=2)
    await rig.buy(code, 4)
    found = (await rig.service.fares("acme", 1)).channels
    assert {each.channel: (each.clicks, each.shares, each.conversions) for each in found} == {
        "sms": (1, 3, 1),
        "link": (0, 0, 1),
    }
    recent = await rig.service.stats("acme", 1)
    assert [(each.channel, each.conversions) for each in recent.channels] == [("link", 1)]
    assert recent.statuses == {"completed": 1}
    assert rig.clock() - START == timedelta(days=2)
