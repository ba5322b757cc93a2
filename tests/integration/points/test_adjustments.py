"""Points that an admin grants or deducts."""

import pytest

from integration.points.support import Points
from loyalnest.kit.context import as_merchant
from loyalnest.kit.errors import Conflict, InvalidInput, NotFound, PreconditionFailed


async def test_a_grant_is_a_lot_that_is_available_at_once(points: Points) -> None:
    await points.add_merchant("slow", approvalDays=9, expiryDays=10)
    made = await points.service.adjust("slow", 1, 40, " sorry ", "key")
    assert (made["kind"], made["points"], made["note"]) == ("accrual", 40, "sorry")
    assert dict(zip(made["accounts"], made["amounts"], strict=True)) == {"issued": -40, "available": 40}
    assert await points.balances("slow") == (40, 0, 0, 0)
    points.clock.advance(days=10)
    assert await points.jobs.expire() == 1
    assert await points.problems("slow") == []


async def test_a_deduction_takes_what_expires_soonest(points: Points) -> None:
    await points.service.adjust("acme", 1, 50, "hello", "one")
    made = await points.service.adjust("acme", 1, -20, "too much", "two")
    assert (made["kind"], made["points"]) == ("adjustment", -20)
    assert await points.balances("acme") == (30, 0, 0, 0)
    assert await points.problems() == []


async def test_a_deduction_of_more_than_is_available_is_refused(points: Points) -> None:
    await points.earn(30)
    with pytest.raises(PreconditionFailed, match="Only 30 points"):
        await points.service.adjust("acme", 1, -31, "too much", "key")
    with pytest.raises(PreconditionFailed, match="Only 0 points"):
        await points.service.adjust("acme", 2, -1, "nobody", "key")
    assert await points.told("audit_log") == []
    await points.service.adjust("acme", 1, -30, "all of it", "key")  # a refusal does not use the key up
    assert await points.balances("acme") == (0, 0, 0, 0)


async def test_a_key_acts_once(points: Points) -> None:
    first = await points.service.adjust("acme", 1, 40, "sorry", "key")
    again = await points.service.adjust("acme", 1, 40, "sorry", "key")
    assert again == first
    assert await points.balances("acme") == (40, 0, 0, 0)
    for customer_id, amount in ((1, 41), (2, 40), (1, -40)):
        with pytest.raises(Conflict, match="'key'"):
            await points.service.adjust("acme", customer_id, amount, "sorry", "key")
    assert len(await points.told("audit_log")) == 1


async def test_who_did_it_and_why_is_in_the_ledger_and_the_audit_log(points: Points) -> None:
    with as_merchant("acme", actor="ann", role="owner"):
        made = await points.service.adjust("acme", 7, 40, "late parcel", "key")
    assert (made["actor"], made["note"], made["settings_version"]) == ("ann", "late parcel", 1)
    (told,) = await points.told("audit_log")
    assert (told["actor"], told["role"], told["action"], told["subject"]) == (
        "ann",
        "owner",
        "points.adjusted",
        "customer:7",
    )
    assert (told["before"], told["after"]) == ({"available": "0"}, {"available": "40", "reason": "late parcel"})
    (earned,) = await points.told("points.earned")
    assert (earned["reason"], earned["points"]) == ("adjustment", 40)


@pytest.mark.parametrize(
    ("amount", "reason", "key"),
    [(0, "why", "key"), (10**9 + 1, "why", "key"), (-(10**9) - 1, "why", "key"), (1, "  ", "key"), (1, "why", "")],
)
async def test_what_makes_no_sense_is_refused(points: Points, amount: int, reason: str, key: str) -> None:
    with pytest.raises(InvalidInput):
        await points.service.adjust("acme", 1, amount, reason, key)


async def test_a_merchant_without_rules_is_named(points: Points) -> None:
    with pytest.raises(NotFound, match="nobody"):
        await points.service.adjust("nobody", 1, 1, "why", "key")
