"""Who is refused and who is held, and what a review does."""

from datetime import timedelta

import pytest

from integration.referrals.support import FRIEND, REFERRER, START, Rig, new_number, order, person, refund
from loyalnest.api_gateway.events import PersonalData
from loyalnest.kit.context import as_merchant
from loyalnest.kit.errors import InvalidInput, NotFound, PreconditionFailed
from loyalnest.kit.events import new_id
from loyalnest.referrals.models import Referral
from loyalnest.referrals.rules import CONVERSIONS_A_DAY, CONVERSIONS_A_WEEK

ANNA = person("anna.b@gmail.com", "+1 217 555 0123", "Main St 1")


@pytest.mark.parametrize(
    ("friend", "state"),
    [
        (person("ANNAB+x@googlemail.com"), ("refused", "self_referral")),
        (person("other@example.com", "001 (217) 555-0123"), ("refused", "self_referral")),
        (person("other@example.com", "", "main st. 1"), ("held", "same_address")),
        (person("other@example.com", "", "main st. 1", "54321"), ("completed", "")),
        (person("other@example.com", "+1 217 555 0124", "Main St 2"), ("completed", "")),
        (person(), ("completed", "")),
    ],
)
async def test_a_friend_who_resembles_the_referrer(rig: Rig, friend: PersonalData, state: tuple[str, str]) -> None:
    await rig.meet(REFERRER, ANNA)
    await rig.buy(await rig.code(), person=friend)
    assert await rig.state() == state
    assert len(await rig.told("referral.completed")) == (state[0] == "completed")


async def test_a_referrer_is_known_by_earlier_orders_too(rig: Rig) -> None:
    await rig.buy("", REFERRER, person=ANNA)
    await rig.meet(REFERRER, person("new@example.com"))
    await rig.buy(await rig.code(), person=person("annab@gmail.com"))
    assert await rig.state() == ("refused", "self_referral")


async def test_one_who_bought_before_under_another_account(rig: Rig) -> None:
    code = await rig.code()
    await rig.buy("", 5, person=person("eve@example.com"), placed_at=START)
    await rig.meet(6, person("mia@example.com"))  # known, and never bought
    later = START + timedelta(days=1)
    await rig.buy(code, 7, person=person("EVE@example.com"), placed_at=later)
    await rig.buy(code, 8, person=person("mia@example.com"), placed_at=later)
    assert await rig.state(7) == ("refused", "existing_customer")
    assert await rig.state(8) == ("completed", "")


async def test_a_friend_who_comes_again_under_another_account_is_rewarded_once(rig: Rig) -> None:
    for number, friend in enumerate((5, 6, 7)):
        placed_at = START + timedelta(days=number)
        spelling = f"e.ve+{number}@gmail.com"
        await rig.buy(await rig.code(), friend, person=person(spelling), placed_at=placed_at)
    assert [await rig.state(friend) for friend in (5, 6, 7)] == [
        ("completed", ""),
        ("refused", "existing_customer"),
        ("refused", "existing_customer"),
    ]


async def test_two_accounts_of_one_person_in_one_batch_are_rewarded_once(rig: Rig) -> None:
    code = await rig.code()
    orders = [order(new_number(), friend, referral_code=code) for friend in (5, 6)]
    await rig.apply(*[await rig.delivery(order=each, person=person("eve@example.com")) for each in reversed(orders)])
    assert [await rig.state(friend) for friend in (5, 6)] == [("completed", ""), ("refused", "existing_customer")]


async def test_people_of_another_merchant_are_strangers(rig: Rig) -> None:
    await rig.add_merchant("globex")
    await rig.meet(REFERRER, ANNA, "globex")
    await rig.buy("", 9, "globex", person=ANNA)
    await rig.buy(await rig.code(), person=ANNA)
    assert await rig.state() == ("completed", "")


async def test_nothing_of_a_person_stands_in_the_clear(rig: Rig) -> None:
    await rig.meet(REFERRER, ANNA)
    rows = await rig.sql("SELECT i::text AS row FROM referrals.identities i ORDER BY kind")
    assert len(rows) == 3
    assert not any(word in row["row"].lower() for row in rows for word in ("anna", "gmail", "217", "main"))


async def test_too_many_friends_in_a_day_are_held(rig: Rig) -> None:
    code = await rig.code()
    events = [
        await rig.delivery(order=order(new_number(), friend, referral_code=code))
        for friend in range(10, 10 + CONVERSIONS_A_DAY + 2)
    ]
    await rig.apply(*events[:2])
    await rig.apply(*events[2:])
    states = [await rig.state(friend) for friend in range(10, 10 + CONVERSIONS_A_DAY + 2)]
    assert states == [("completed", "")] * CONVERSIONS_A_DAY + [("held", "velocity")] * 2
    await rig.buy(await rig.code(3), 50)
    assert await rig.state(50) == ("completed", ""), "another referrer's friends are their own"
    rig.clock.advance(days=1)
    await rig.buy(code, 60)
    assert await rig.state(60) == ("completed", "")


async def test_too_many_friends_in_a_week_are_held(rig: Rig) -> None:
    code, friends = await rig.code(), iter(range(100, 200))
    for _ in range(CONVERSIONS_A_WEEK // CONVERSIONS_A_DAY):
        for _ in range(CONVERSIONS_A_DAY):
            await rig.buy(code, next(friends))
        rig.clock.advance(days=1)
    await rig.buy(code, 999)
    assert await rig.state(999) == ("held", "velocity")
    rig.clock.advance(days=4)
    await rig.buy(code, 1000)
    assert await rig.state(1000) == ("completed", "")


async def held(rig: Rig) -> Referral:
    """A referral that waits for a review."""
    await rig.meet(REFERRER, ANNA)
    await rig.buy(await rig.code(), person=person("b@example.com", "", "Main St 1"), order_id=7)
    found = await rig.of_friend()
    assert found is not None
    assert (found.status, found.reason) == ("held", "same_address")
    return found


async def test_an_approval_completes_once_and_is_audited(rig: Rig) -> None:
    referral = await held(rig)
    with as_merchant("acme", actor="ann", role="staff"):
        for _ in range(2):
            done = await rig.service.review("acme", referral.referral_id, approve=True, note=" A household. ")
    assert (done.status, done.reason, done.reviewed_by, done.note) == ("completed", "review", "ann", "A household.")
    (told,) = await rig.told("referral.completed")
    assert (told["referral_id"], told["order_id"]) == (str(referral.referral_id), 7)
    (audit,) = await rig.told("audit_log")
    assert (audit["actor"], audit["action"]) == ("ann", "referral.approved")
    assert audit["subject"] == f"referral:{referral.referral_id}"
    assert (audit["before"], audit["after"]) == (
        {"status": "held", "reason": "same_address"},
        {"status": "completed", "note": "A household."},
    )
    await rig.apply(await rig.delivery(refund=refund(7)))
    assert await rig.state() == ("reversed", "refunded")
    assert len(await rig.told("referral.reversed")) == 1


async def test_a_refusal_gives_nothing_for_good(rig: Rig) -> None:
    referral = await held(rig)
    await rig.service.review("acme", referral.referral_id, approve=False, note="The same person.")
    await rig.buy(await rig.code(), order_id=7)
    assert await rig.state() == ("refused", "review")
    with pytest.raises(PreconditionFailed, match="refused"):
        await rig.service.review("acme", referral.referral_id, approve=True, note="Or not?")
    assert await rig.told("referral.completed") == []


async def test_what_was_refunded_meanwhile_is_not_there_to_approve(rig: Rig) -> None:
    referral = await held(rig)
    await rig.apply(await rig.delivery(refund=refund(7)))
    assert await rig.state() == ("refused", "refunded")
    with pytest.raises(PreconditionFailed):
        await rig.service.review("acme", referral.referral_id, approve=True, note="A household.")


async def test_a_review_needs_a_note_and_a_referral_of_the_merchant(rig: Rig) -> None:
    await rig.add_merchant("globex")
    referral = await held(rig)
    with pytest.raises(InvalidInput, match="note"):
        await rig.service.review("acme", referral.referral_id, approve=True, note=" ")
    for merchant_id, referral_id in (("globex", referral.referral_id), ("acme", new_id())):
        with pytest.raises(NotFound):
            await rig.service.review(merchant_id, referral_id, approve=True, note="x")
    assert await rig.state(FRIEND) == ("held", "same_address")
