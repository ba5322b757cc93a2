"""The double entry: each function changes a member in memory and returns the transaction that says so.

No I/O happens here. Invariants that hold after every function, for every member:

- the entries of a transaction sum to zero;
- pending = Σ remaining of pending lots;
- available = Σ remaining of available lots − debt, and one of the two is zero.
"""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from loyalnest.kit.events import new_id
from loyalnest.points.models import Account, Kind, Lot, Member, Origin, Transaction


def accrue(
    member: Member, points: int, origin: Origin, *, now: datetime, available_at: datetime, expires_at: datetime | None
) -> Transaction:
    """Grant `points` (> 0) as a new lot: pending until `available_at` if that is later than `now`.

    Points that are available at once pay the member's debt first.
    """
    assert points > 0
    pending = available_at > now
    account = Account.PENDING if pending else Account.AVAILABLE
    transaction = _post(member, Kind.ACCRUAL, points, origin, {Account.ISSUED: -points, account: points}, now)
    lot = Lot(
        merchant_id=member.merchant_id,
        lot_id=transaction.transaction_id,
        customer_id=member.customer_id,
        order_id=origin.order_id,
        granted=points,
        remaining=points,
        expired=0,
        pending=pending,
        available_at=available_at,
        expires_at=expires_at,
    )
    member.lots[lot.lot_id] = lot
    member.lifetime_earned += points
    if pending:
        member.pending += points
    else:
        _make_available(member, lot, points)
    return transaction


def approve(member: Member, lot: Lot, *, now: datetime) -> Transaction:
    """Make a pending lot available; it pays the member's debt first."""
    points = lot.remaining
    assert lot.pending and points > 0
    member.pending -= points
    lot.pending = False
    _make_available(member, lot, points)
    origin = Origin(source=f"lot:{lot.lot_id}:approval", order_id=lot.order_id)
    entries = {Account.PENDING: -points, Account.AVAILABLE: points}
    return _post(member, Kind.APPROVAL, 0, origin, entries, now)


def expire(member: Member, lot: Lot, *, now: datetime, cause: str = "") -> Transaction:
    """Take what remains of a lot out of circulation. cause: the business key of the release that refilled it."""
    points = lot.remaining
    assert not lot.pending and points > 0
    lot.remaining = 0
    lot.expired += points
    member.available -= points
    # A release may refill an expired lot, which then expires again: the cause makes each expiry's key its own.
    origin = Origin(source=f"lot:{lot.lot_id}:expiry:{cause or now.isoformat()}", order_id=lot.order_id)
    entries = {Account.AVAILABLE: -points, Account.EXPIRED: points}
    return _post(member, Kind.EXPIRY, -points, origin, entries, now)


def claw_back(
    member: Member, points: int, own_lot: UUID | None, origin: Origin, *, now: datetime, floor: bool
) -> Transaction:
    """Take back `points` (> 0) of an award.

    First from the award's own lot; what of it had expired is gone already and only changes its account. Then from
    the member's other available lots, soonest-expiring first. The rest becomes a debt, or is let go if `floor`.
    """
    assert points > 0
    entries: dict[Account, int] = {}
    left = points
    lot = member.lots.get(own_lot) if own_lot else None
    if lot is not None:
        taken = min(left, lot.remaining)
        lot.remaining -= taken
        if lot.pending:
            member.pending -= taken
            _add(entries, Account.PENDING, -taken)
        else:
            member.available -= taken
            _add(entries, Account.AVAILABLE, -taken)
        left -= taken
        gone = min(left, lot.expired)
        lot.expired -= gone
        _add(entries, Account.EXPIRED, -gone)
        left -= gone
    spent = _spend(member, left)
    taken = sum(amount for _, amount in spent)
    if not floor:
        taken = left
    member.available -= taken
    _add(entries, Account.AVAILABLE, -taken)
    total = -sum(entries.values())
    _add(entries, Account.CLAWBACK, total)
    member.lifetime_earned -= points
    effect = entries.get(Account.PENDING, 0) + entries.get(Account.AVAILABLE, 0)
    return _post(member, Kind.CLAWBACK, effect, origin, entries, now)


def hold(member: Member, points: int, origin: Origin, *, now: datetime) -> tuple[Transaction, dict[UUID, int]]:
    """Set `points` (> 0, at most the available ones) aside for a redemption.

    Returns the transaction and how many points came from which lot, soonest-expiring first.
    """
    assert 0 < points <= member.available
    lots = dict(_spend(member, points))
    member.available -= points
    member.held += points
    entries = {Account.AVAILABLE: -points, Account.HELD: points}
    return _post(member, Kind.HOLD, -points, origin, entries, now), lots


def settle(member: Member, points: int, origin: Origin, *, now: datetime) -> Transaction:
    """Spend what was held, for good."""
    assert 0 < points <= member.held
    member.held -= points
    member.lifetime_redeemed += points
    return _post(member, Kind.REDEMPTION, 0, origin, {Account.HELD: -points, Account.REDEEMED: points}, now)


def release(
    member: Member, lots: dict[UUID, int], origin: Origin, *, now: datetime, settled: bool
) -> list[Transaction]:
    """Give the points of a redemption back to the lots they came from; what is past its expiry expires at once.

    settled: the redemption was issued before (its points are in `redeemed`), else they are still held.
    Points that come back pay a debt first, those that would expire soonest in front.
    """
    points = sum(lots.values())
    if settled:
        member.lifetime_redeemed -= points
    else:
        member.held -= points
    account = Account.REDEEMED if settled else Account.HELD
    entries = {account: -points, Account.AVAILABLE: points}
    transactions = [_post(member, Kind.RELEASE, points, origin, entries, now)]
    refilled = sorted((member.lots[lot_id] for lot_id in lots), key=_soonest)
    for lot in refilled:
        _make_available(member, lot, lots[lot.lot_id], refill=True)
    over = [lot for lot in refilled if lot.remaining and lot.expires_at is not None and lot.expires_at <= now]
    return transactions + [expire(member, lot, now=now, cause=origin.source) for lot in over]


def deduct(member: Member, points: int, origin: Origin, *, now: datetime) -> Transaction:
    """An admin's deduction of `points` (> 0, at most the available ones). A grant by an admin is an accrual."""
    assert 0 < points <= member.available
    _spend(member, points)
    member.available -= points
    entries = {Account.AVAILABLE: -points, Account.ISSUED: points}
    return _post(member, Kind.ADJUSTMENT, -points, origin, entries, now)


def spending_order(lots: Iterable[Lot]) -> list[Lot]:
    """Available lots with points left, soonest-expiring first, never-expiring last, older first among equals."""
    usable = [lot for lot in lots if lot.remaining > 0 and not lot.pending]
    return sorted(usable, key=_soonest)


def _soonest(lot: Lot) -> tuple[bool, datetime, int]:
    return lot.expires_at is None, lot.expires_at or lot.available_at, lot.lot_id.int


def _spend(member: Member, points: int) -> list[tuple[UUID, int]]:
    """Take up to `points` out of the member's lots, not yet out of the balance. Returns what came from where."""
    taken: list[tuple[UUID, int]] = []
    for lot in spending_order(member.lots.values()) if points else ():
        amount = min(points, lot.remaining)
        lot.remaining -= amount
        points -= amount
        taken.append((lot.lot_id, amount))
        if not points:
            break
    return taken


def _make_available(member: Member, lot: Lot, points: int, *, refill: bool = False) -> None:
    """Add `points` of `lot` to the balance, less from the lot what pays the debt."""
    paid = min(member.debt, points)
    member.available += points
    if refill:
        lot.remaining += points - paid
    else:
        lot.remaining -= paid


def _add(entries: dict[Account, int], account: Account, amount: int) -> None:
    if amount:
        entries[account] = entries.get(account, 0) + amount


def _post(
    member: Member, kind: Kind, points: int, origin: Origin, entries: dict[Account, int], now: datetime
) -> Transaction:
    assert sum(entries.values()) == 0
    return Transaction(
        transaction_id=new_id(),
        merchant_id=member.merchant_id,
        customer_id=member.customer_id,
        kind=kind,
        points=points,
        origin=origin,
        entries=entries,
        created_at=now,
    )
