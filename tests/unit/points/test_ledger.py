"""The ledger, example by example."""

from datetime import UTC, datetime, timedelta

import pytest

from loyalnest.points import ledger
from loyalnest.points.models import Account, Kind, Lot, Member, Origin

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORIGIN = Origin(source="test", order_id=7)


@pytest.fixture
def member() -> Member:
    return Member("acme", 1)


def grant(member: Member, points: int, *, wait: int = 0, life: int | None = None) -> Lot:
    """A lot that is available in `wait` days and lives `life` days from now."""
    done = ledger.accrue(
        member,
        points,
        ORIGIN,
        now=NOW,
        available_at=NOW + timedelta(days=wait),
        expires_at=None if life is None else NOW + timedelta(days=life),
    )
    return member.lots[done.transaction_id]


def remaining(*lots: Lot) -> list[int]:
    return [lot.remaining for lot in lots]


def test_an_accrual_moves_points_from_issued_to_available(member: Member) -> None:
    done = ledger.accrue(member, 50, ORIGIN, now=NOW, available_at=NOW, expires_at=None)
    assert (done.kind, done.points) == (Kind.ACCRUAL, 50)
    assert done.entries == {Account.ISSUED: -50, Account.AVAILABLE: 50}
    assert (member.available, member.pending, member.lifetime_earned) == (50, 0, 50)


def test_points_in_their_approval_period_are_pending_and_pay_no_debt(member: Member) -> None:
    spent = grant(member, 30)
    ledger.hold(member, 30, ORIGIN, now=NOW)
    ledger.claw_back(member, 30, spent.lot_id, ORIGIN, now=NOW, floor=False)
    lot = grant(member, 50, wait=1)
    assert (member.available, member.pending, member.debt) == (-30, 50, 30)
    done = ledger.approve(member, lot, now=NOW)
    assert done.entries == {Account.PENDING: -50, Account.AVAILABLE: 50}
    assert (member.available, member.pending, lot.remaining, done.points) == (20, 0, 20, 0)


def test_lots_are_spent_soonest_expiring_first_and_never_expiring_last(member: Member) -> None:
    never, late, soon = grant(member, 10), grant(member, 10, life=20), grant(member, 10, life=5)
    waiting = grant(member, 10, wait=1, life=2)
    done, taken = ledger.hold(member, 25, ORIGIN, now=NOW)
    assert taken == {soon.lot_id: 10, late.lot_id: 10, never.lot_id: 5}
    assert remaining(soon, late, never, waiting) == [0, 0, 5, 10]
    assert (done.points, member.available, member.held) == (-25, 5, 25)


def test_older_lots_go_first_among_equals(member: Member) -> None:
    lots = [grant(member, 1, life=5) for _ in range(50)]
    _, taken = ledger.hold(member, 20, ORIGIN, now=NOW)
    assert list(taken) == [lot.lot_id for lot in lots[:20]]


def test_a_clawback_takes_from_its_own_lot_before_the_others(member: Member) -> None:
    soon, own = grant(member, 10, life=1), grant(member, 10)
    done = ledger.claw_back(member, 15, own.lot_id, ORIGIN, now=NOW, floor=False)
    assert remaining(soon, own) == [5, 0]
    assert done.entries == {Account.AVAILABLE: -15, Account.CLAWBACK: 15}


def test_what_of_the_lot_had_expired_only_changes_its_account(member: Member) -> None:
    own, other = grant(member, 10, life=1), grant(member, 10)
    ledger.expire(member, own, now=NOW + timedelta(days=1))
    done = ledger.claw_back(member, 6, own.lot_id, ORIGIN, now=NOW, floor=False)
    assert done.entries == {Account.EXPIRED: -6, Account.CLAWBACK: 6}
    assert (done.points, own.expired, other.remaining, member.available) == (0, 4, 10, 10)


@pytest.mark.parametrize(("floor", "available"), [(False, -20), (True, 0)])
def test_what_is_spent_becomes_a_debt_or_is_let_go(member: Member, floor: bool, available: int) -> None:
    own = grant(member, 30)
    ledger.hold(member, 20, ORIGIN, now=NOW)
    done = ledger.claw_back(member, 30, own.lot_id, ORIGIN, now=NOW, floor=floor)
    assert (member.available, member.lifetime_earned) == (available, 0)
    assert done.entries[Account.CLAWBACK] == 10 - available


def test_a_clawback_that_finds_nothing_to_take_under_floor_is_posted_without_entries(member: Member) -> None:
    own = grant(member, 30)
    ledger.hold(member, 30, ORIGIN, now=NOW)
    done = ledger.claw_back(member, 30, own.lot_id, ORIGIN, now=NOW, floor=True)
    assert (done.entries, done.points, member.available) == ({}, 0, 0)


def test_a_clawback_of_a_pending_lot_takes_pending_points(member: Member) -> None:
    own = grant(member, 30, wait=3)
    done = ledger.claw_back(member, 10, own.lot_id, ORIGIN, now=NOW, floor=False)
    assert done.entries == {Account.PENDING: -10, Account.CLAWBACK: 10}
    assert (member.pending, own.remaining, done.points) == (20, 20, -10)


@pytest.mark.parametrize("settled", [False, True])
def test_a_release_refills_the_lots_it_came_from(member: Member, settled: bool) -> None:
    first, second = grant(member, 10, life=5), grant(member, 10, life=9)
    _, taken = ledger.hold(member, 15, ORIGIN, now=NOW)
    if settled:
        ledger.settle(member, 15, ORIGIN, now=NOW)
        assert (member.held, member.lifetime_redeemed) == (0, 15)
    (done,) = ledger.release(member, taken, ORIGIN, now=NOW, settled=settled)
    assert done.entries == {Account.REDEEMED if settled else Account.HELD: -15, Account.AVAILABLE: 15}
    assert remaining(first, second) == [10, 10]
    assert (member.available, member.held, member.lifetime_redeemed) == (20, 0, 0)


def test_what_comes_back_to_a_lot_past_its_expiry_expires_at_once(member: Member) -> None:
    lot = grant(member, 10, life=5)
    _, taken = ledger.hold(member, 10, ORIGIN, now=NOW)
    back, gone = ledger.release(member, taken, ORIGIN, now=NOW + timedelta(days=5), settled=False)
    assert (back.points, gone.kind, gone.points) == (10, Kind.EXPIRY, -10)
    assert (lot.remaining, lot.expired, member.available) == (0, 10, 0)


def test_what_comes_back_pays_a_debt_out_of_what_would_expire_soonest(member: Member) -> None:
    late, soon = grant(member, 10, life=9), grant(member, 10, life=5)
    _, taken = ledger.hold(member, 20, ORIGIN, now=NOW)
    owed = grant(member, 12)
    ledger.hold(member, 12, ORIGIN, now=NOW)
    ledger.claw_back(member, 12, owed.lot_id, ORIGIN, now=NOW, floor=False)
    ledger.release(member, dict(reversed(taken.items())), ORIGIN, now=NOW, settled=False)
    assert (remaining(soon, late), member.available) == ([0, 8], 8)


def test_each_expiry_of_a_lot_has_a_business_key_of_its_own(member: Member) -> None:
    grant(member, 20, life=5)
    over = NOW + timedelta(days=5)
    held = [ledger.hold(member, 10, ORIGIN, now=NOW)[1] for _ in range(2)]
    sources = [
        ledger.release(member, lots, Origin(source=f"redemption:{number}"), now=over, settled=False)[1].origin.source
        for number, lots in enumerate(held)
    ]
    assert len(set(sources)) == 2


def test_a_deduction_goes_back_to_issued(member: Member) -> None:
    lot = grant(member, 10)
    done = ledger.deduct(member, 4, ORIGIN, now=NOW)
    assert done.entries == {Account.AVAILABLE: -4, Account.ISSUED: 4}
    assert (member.available, lot.remaining, done.kind) == (6, 6, Kind.ADJUSTMENT)


def test_more_than_there_is_cannot_be_held_settled_or_deducted(member: Member) -> None:
    grant(member, 10)
    for act in (ledger.hold, ledger.deduct, ledger.settle):
        with pytest.raises(AssertionError):
            act(member, 11, ORIGIN, now=NOW)
    assert (member.available, member.held) == (10, 0)
