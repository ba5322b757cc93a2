"""`verify` can fail: each kind of corruption is found, by the check that is named for it."""

import pytest

from integration.points.support import Points, completed, delivery, refund, reversed_one
from loyalnest.points import verification_repository
from loyalnest.points.discounts import Issued

CORRUPTIONS = {
    "entries sum to zero": "UPDATE points.ledger_entries SET amount = amount + 1 WHERE account = 'issued'",
    "points equal their entries": "UPDATE points.points_transactions SET points = points + 1 WHERE kind = 'accrual'",
    "balances equal their entries": "UPDATE points.balances SET available = available + 5, pending = pending + 1",
    "lots equal balances": "UPDATE points.lots SET remaining = remaining - 1 WHERE remaining > 0",
    "lifetime points equal awards less clawbacks": "UPDATE points.balances SET lifetime_earned = lifetime_earned - 1",
    "reversed referrals have given nothing": "UPDATE points.referral_rewards SET reversed_at = NULL",
    "awards equal their postings": "UPDATE points.order_awards SET awarded = awarded + 1",
    "campaigns' spending equals their bonuses": "UPDATE points.campaigns SET spent = spent + 1",
    "refunds equal their sum": "UPDATE points.order_refunds SET base = base + 1",
    "redemptions equal balances": "UPDATE points.reward_redemptions SET status = 'refused' WHERE status = 'held'",
    "redemptions equal their lots": "UPDATE points.redemption_lots SET points = points + 1",
}
MORE = [
    ("points equal their entries", "DELETE FROM points.ledger_entries WHERE account <> 'clawback'"),
    ("points equal their entries", "DELETE FROM points.points_transactions WHERE kind = 'clawback'"),
    ("balances equal their entries", "UPDATE points.balances SET lifetime_redeemed = 0"),
    ("balances equal their entries", "DELETE FROM points.balances"),
    ("lots equal balances", "DELETE FROM points.lots"),
    ("lots equal balances", "DELETE FROM points.balances"),
    ("awards equal their postings", "DELETE FROM points.order_awards"),
    ("awards equal their postings", "UPDATE points.order_awards SET clawed_back = clawed_back - 1"),
    ("awards equal their postings", "UPDATE points.order_awards SET clawbacks = clawbacks + 1"),
    ("lifetime points equal awards less clawbacks", "UPDATE points.order_awards SET clawed_back = clawed_back - 1"),
    ("reversed referrals have given nothing", "UPDATE points.referral_rewards SET reversed_at = now()"),
    (
        "reversed referrals have given nothing",
        "UPDATE points.points_transactions SET source = 'x' WHERE source LIKE '%friend:clawback'",
    ),
    (
        "lifetime points equal awards less clawbacks",
        "UPDATE points.points_transactions SET points = points + 1 WHERE source LIKE 'referral:%' AND kind = 'accrual'",
    ),
    ("campaigns' spending equals their bonuses", "UPDATE points.order_awards SET bonuses = '[]'"),
    ("campaigns' spending equals their bonuses", "DELETE FROM points.campaigns"),
    ("refunds equal their sum", "DELETE FROM points.order_awards"),
    ("redemptions equal balances", "UPDATE points.reward_redemptions SET status = 'cancelled' WHERE status = 'issued'"),
    ("redemptions equal balances", "UPDATE points.balances SET held = 0"),
]


async def a_bit_of_everything(points: Points, merchant_id: str) -> None:
    await points.run_campaign(merchant_id)
    order_id = await points.earn(400, merchant_id=merchant_id)
    await points.apply(delivery(merchant_id, refund=refund(order_id=order_id, base="50")))
    await points.referrals.completed([completed("kept", merchant_id), completed("gone", merchant_id)])
    await points.referrals.reversed([reversed_one("gone", merchant_id)])
    points.issuer.answers = [Issued(by="local"), TimeoutError()]
    for key in ("issued", "held"):
        await points.redemptions.redeem(merchant_id, 1, "five-off", key)


def test_every_check_has_its_corruption() -> None:
    assert CORRUPTIONS.keys() == verification_repository._CHECKS.keys()


@pytest.mark.parametrize(("check", "corruption"), [*CORRUPTIONS.items(), *MORE])
async def test_a_corruption_is_found(points: Points, check: str, corruption: str) -> None:
    await points.add_merchant("globex")
    for merchant_id in ("acme", "globex"):
        await a_bit_of_everything(points, merchant_id)
    assert await points.problems() == []
    where = " AND " if " WHERE " in corruption else " WHERE "
    await points.sql(f"{corruption}{where}merchant_id = 'acme'")
    found = await points.problems()
    assert check in {problem[0] for problem in found}
    assert all(subject and detail for _, subject, detail in found)
    assert await points.problems("globex") == []


async def test_what_is_counted(points: Points) -> None:
    await points.earn(1, 1)
    await points.earn(1, 2)
    assert await points.service.verify("acme") == (2, 2, [])
