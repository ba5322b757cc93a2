"""What becomes of a friend's orders."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from fixtures.mortal import MortalDatabase
from integration.referrals.support import FRIEND, REFERRER, START, Rig, new_number, order, program_rules, refund
from loyalnest.core.events import SettingsChanged
from loyalnest.kit.errors import NotFound
from loyalnest.kit.events import Event


async def test_a_first_paid_order_rewards_both_once(rig: Rig) -> None:
    code = await rig.code()
    event = await rig.delivery(order=order(7, referral_code=f"{code.lower()}:sms"))
    again = await rig.delivery(topic="orders/updated", order=order(7, referral_code=code))
    await rig.apply(event, event)
    await rig.apply(event, again)
    found = await rig.of_friend()
    assert found is not None
    (told,) = await rig.told("referral.completed")
    assert told == {
        "referral_id": str(found.referral_id),
        "referrer_id": REFERRER,
        "friend_id": FRIEND,
        "referrer_points": 500,
        "friend_points": 250,
        "channel": "sms",
        "order_id": 7,
        "completed_at": "2026-01-01T00:00:00Z",
    }
    assert (found.status, found.order_id, found.settings_version, found.version) == ("completed", 7, 1, 1)


async def test_an_order_waits_until_it_is_paid(rig: Rig) -> None:
    code = await rig.code()
    await rig.buy(code, order_id=7, paid=False)
    assert await rig.state() == ("pending", "")
    assert await rig.told("referral.completed") == []
    await rig.buy(code, order_id=7)
    assert await rig.state() == ("completed", "")


@pytest.mark.parametrize("code", ["", "NOBODYS", "BCDFGHJK:sms"])
async def test_an_order_without_a_code_of_ours_is_no_referral(rig: Rig, code: str) -> None:
    await rig.code()
    await rig.buy(code)
    assert await rig.of_friend() is None
    assert await rig.sql("SELECT 1 FROM referrals.orders") == []


@pytest.mark.parametrize(("base", "state"), [("19.99", ("refused", "below_minimum")), ("20", ("completed", ""))])
async def test_the_minimum_spend(rig: Rig, base: str, state: tuple[str, str]) -> None:
    await rig.buy(await rig.code(), base=base)
    assert await rig.state() == state


async def test_a_free_order_is_no_purchase(rig: Rig) -> None:
    await rig.add_merchant("free", minimum="0")
    code = await rig.code(merchant_id="free")
    await rig.buy(code, merchant_id="free", base="0")
    await rig.buy(code, 3, "free", base="0.01")
    assert await rig.state(merchant_id="free") == ("refused", "below_minimum")
    assert await rig.state(3, "free") == ("completed", "")


async def test_only_the_first_order_counts_and_a_friend_is_referred_once(rig: Rig) -> None:
    code, other = await rig.code(), await rig.code(3)
    await rig.buy("", placed_at=START)
    await rig.buy(code, placed_at=START + timedelta(days=1))
    assert await rig.state() == ("refused", "existing_customer")
    await rig.buy(code, 4)
    await rig.buy(other, 4, placed_at=START + timedelta(days=1))
    found = await rig.of_friend(4)
    assert found is not None
    assert (found.status, found.referrer_id) == ("completed", REFERRER)
    assert len(await rig.told("referral.completed")) == 1


async def test_an_unpaid_order_makes_nobody_an_existing_customer(rig: Rig) -> None:
    await rig.buy("", placed_at=START, paid=False)
    await rig.buy(await rig.code(), placed_at=START + timedelta(days=1))
    assert await rig.state() == ("completed", "")


async def test_the_code_of_the_order_that_is_paid_counts(rig: Rig) -> None:
    await rig.buy(await rig.code(), placed_at=START, paid=False)
    await rig.buy(await rig.code(3), placed_at=START + timedelta(days=1))
    found = await rig.of_friend()
    assert found is not None
    assert (found.status, found.referrer_id) == ("completed", 3)


async def test_an_earlier_order_that_is_told_late_takes_the_reward_back(rig: Rig) -> None:
    await rig.buy(await rig.code(), placed_at=START + timedelta(days=1))
    await rig.buy("", placed_at=START)
    assert await rig.state() == ("reversed", "existing_customer")
    assert len(await rig.told("referral.reversed")) == 1


async def test_one_who_uses_their_own_code(rig: Rig) -> None:
    await rig.buy(await rig.code(), REFERRER)
    assert await rig.state(REFERRER) == ("refused", "self_referral")
    assert await rig.told("referral.completed") == []


@pytest.mark.parametrize(
    ("parts", "state"),
    [
        (["30"], ("completed", "")),  # 20 is left
        (["30.01"], ("reversed", "refunded")),
        (["10", "10", "10.01"], ("reversed", "refunded")),
        (["50"], ("reversed", "refunded")),
        (["0"], ("completed", "")),
    ],
)
async def test_refunds_below_the_minimum_reverse(rig: Rig, parts: list[str], state: tuple[str, str]) -> None:
    number = await rig.buy(await rig.code())
    for each in [refund(number, part) for part in parts]:
        await rig.apply(await rig.delivery(refund=each))
        await rig.apply(await rig.delivery(refund=each))
        await rig.apply(await rig.delivery(topic="orders/updated", order=order(number, refunds=[each])))
    assert await rig.state() == state
    told = await rig.told("referral.reversed")
    assert len(told) == (state[0] == "reversed")
    assert all((each["referrer_id"], each["friend_id"]) == (REFERRER, FRIEND) for each in told)


async def test_a_full_refund_reverses_where_there_is_no_minimum(rig: Rig) -> None:
    await rig.add_merchant("free", minimum="0")
    number = await rig.buy(await rig.code(merchant_id="free"), merchant_id="free")
    await rig.apply(await rig.delivery("free", refund=refund(number, "49.99")))
    assert await rig.state(merchant_id="free") == ("completed", "")
    await rig.apply(await rig.delivery("free", refund=refund(number, "0.01")))
    assert await rig.state(merchant_id="free") == ("reversed", "refunded")


async def test_a_cancellation_reverses(rig: Rig) -> None:
    code = await rig.code()
    number = await rig.buy(code)
    await rig.buy(code, order_id=number, cancelled=True)
    assert await rig.state() == ("reversed", "cancelled")
    await rig.buy(code, order_id=number)
    assert await rig.state() == ("reversed", "cancelled"), "a late delivery brings nothing back"
    assert len(await rig.told("referral.completed")) == len(await rig.told("referral.reversed")) == 1


async def test_a_refund_before_its_order_gives_nothing(rig: Rig) -> None:
    number = new_number()
    await rig.apply(await rig.delivery(refund=refund(number)))
    await rig.buy(await rig.code(), order_id=number)
    assert await rig.state() == ("refused", "refunded")
    assert await rig.told("referral.completed") == []


async def test_a_refund_and_its_order_at_once_lose_nothing(rig: Rig) -> None:
    code = await rig.code()
    for friend in range(10, 25):
        number = new_number()
        paid = await rig.delivery(order=order(number, friend, referral_code=code))
        back = await rig.delivery(refund=refund(number))
        await asyncio.gather(rig.apply(paid), rig.apply(back))
        assert (await rig.state(friend))[1] == "refunded"


async def test_the_terms_are_those_of_the_first_paid_order(rig: Rig) -> None:
    code = await rig.code()
    await rig.buy(code, base="10", order_id=7)
    number = await rig.buy(code, 3)
    await rig.terms.settings_changed([changed(2, minimum="45", referrer=1), changed(1, minimum="1")])
    await rig.buy(code, base="10", order_id=7)
    await rig.apply(await rig.delivery(refund=refund(number, "20")))
    await rig.buy(code, 4)
    assert [await rig.state(friend) for friend in (FRIEND, 3, 4)] == [
        ("refused", "below_minimum"),
        ("completed", ""),
        ("completed", ""),
    ]
    assert [each["referrer_points"] for each in await rig.told("referral.completed")] == [500, 1]


def changed(version: int, **terms: object) -> Event:
    rules = msgspec.Raw(program_rules(**terms).to_json().encode())  # type: ignore[arg-type]
    return SettingsChanged(version=version, rules=rules, changed_by="ann", changed_at=START).event("acme", "rules")


async def test_a_shop_that_offers_none_gives_none_afterwards_either(rig: Rig) -> None:
    code = await rig.code()
    await rig.terms.settings_changed([changed(2, offered=False)])
    await rig.buy(code, order_id=7)
    await rig.terms.settings_changed([changed(3)])
    await rig.buy(code, order_id=7)
    assert await rig.state() == ("refused", "not_offered")


async def test_test_orders_count_where_the_merchant_says_so(rig: Rig) -> None:
    await rig.add_merchant("lab", test_orders=True)
    await rig.buy(await rig.code(), test=True)
    assert await rig.of_friend() is None
    await rig.buy(await rig.code(merchant_id="lab"), merchant_id="lab", test=True)
    assert await rig.state(merchant_id="lab") == ("completed", "")


async def test_guests_are_no_friends(rig: Rig) -> None:
    await rig.apply(await rig.delivery(order=order(7, None, referral_code=await rig.code())))
    assert await rig.sql("SELECT 1 FROM referrals.referrals") == []


async def test_two_merchants_never_meet(rig: Rig) -> None:
    await rig.add_merchant("globex", referrer=7)
    code = await rig.code()
    await rig.buy(code, merchant_id="globex", order_id=7)
    assert await rig.of_friend(merchant_id="globex") is None, "another shop's code"
    await rig.code(merchant_id="globex")
    await rig.sql("UPDATE referrals.referral_codes SET code = $1 WHERE merchant_id = 'globex'", code)
    events = [await rig.delivery(each, order=order(8, 3, referral_code=code)) for each in ("acme", "globex")]
    await rig.apply(*events, await rig.delivery(refund=refund(8)))
    assert await rig.state(3) == ("refused", "refunded")
    assert await rig.state(3, "globex") == ("completed", "")
    assert [each["referrer_points"] for each in await rig.told("referral.completed", "globex")] == [7]


async def test_a_merchant_without_rules_is_named(rig: Rig) -> None:
    with pytest.raises(NotFound, match="nobody"):
        await rig.deliveries.handle([await rig.delivery("nobody", order=order(7))])


async def test_the_statements_of_a_batch_do_not_grow_with_it(rig: Rig) -> None:
    code = await rig.code()

    async def statements(friends: range) -> int:
        events = [await rig.delivery(order=order(new_number(), each, referral_code=code)) for each in friends]
        counted = Counted(rig)
        await counted.deliveries.handle(events)
        return counted.count

    assert await statements(range(100, 103)) == await statements(range(200, 300)) <= 25


class Counted(Rig):
    """Counts the statements of its transactions, on a database that would die of the last of very many."""

    def __init__(self, rig: Rig) -> None:
        database = MortalDatabase(rig.database, rig.database._pool, before=10**9)
        super().__init__(database, rig.address, rig.redis, rig.clock, keys=rig.keys)
        self.counting = database

    @property
    def count(self) -> int:
        return self.counting._statements
