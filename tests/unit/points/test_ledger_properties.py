"""The ledger against a model that moves single points: each is a unit with a lot and a place where it is now."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from loyalnest.points import ledger
from loyalnest.points.models import Account, Kind, Lot, Member, Origin, Transaction

START = datetime(2026, 1, 1, tzinfo=UTC)
ORIGIN = Origin(source="test")
NEVER = datetime.max.replace(tzinfo=UTC)

amounts = st.integers(1, 25)
days = st.integers(1, 20)


def up_to(most: int) -> st.SearchStrategy[int]:
    """All of it as often as a part, because what is taken whole is what leads to debts."""
    return st.one_of(st.just(most), st.integers(1, most))


@dataclass(eq=False)
class Unit:
    """One point. where: pending, available, held, redeemed, expired, clawed, deducted, or paid (it paid a debt)."""

    lot: "Grant"
    where: str = ""


@dataclass(eq=False)
class Grant:
    """What the model knows of a lot: when it runs out, and its place among the lots in time."""

    number: int
    lot_id: UUID
    available_at: datetime
    expires_at: datetime | None
    units: list[Unit] = field(default_factory=list)
    clawed: int = 0

    def order(self) -> tuple[datetime, datetime, int]:
        return (self.expires_at, START, self.number) if self.expires_at else (NEVER, self.available_at, self.number)

    def over(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


@dataclass(eq=False)
class Redeemed:
    units: list[Unit]
    lots: dict[UUID, int]
    state: str = "held"


class LedgerMachine(RuleBasedStateMachine):
    """Does the same to a Member and to units, and compares after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.member = Member("acme", 1)
        self.posted: list[Transaction] = []
        self.grants: list[Grant] = []
        self.redemptions: list[Redeemed] = []
        self.debt = 0

    # -- the model

    @property
    def units(self) -> list[Unit]:
        return [unit for grant in self.grants for unit in grant.units]

    def at(self, where: str) -> list[Unit]:
        """The units at a place, those that are to be spent first in front."""
        return sorted((unit for unit in self.units if unit.where == where), key=lambda unit: unit.lot.order())

    def arrive(self, units: list[Unit]) -> None:
        """Let units become available, the first of them paying what is owed."""
        for unit in units:
            unit.where = "paid" if self.debt else "available"
            self.debt -= bool(self.debt)

    # -- rules

    @initialize(floor=st.booleans())
    def choose(self, floor: bool) -> None:
        self.floor = floor

    @rule(points=amounts, wait=st.none() | days, life=st.none() | days)
    def accrue(self, points: int, wait: int | None, life: int | None) -> None:
        available_at = self.now + timedelta(days=wait or 0)
        expires_at = available_at + timedelta(days=life) if life else None
        done = ledger.accrue(
            self.member, points, ORIGIN, now=self.now, available_at=available_at, expires_at=expires_at
        )
        self.posted.append(done)
        grant = Grant(len(self.grants), done.transaction_id, available_at, expires_at)
        grant.units = [Unit(grant, "pending") for _ in range(points)]
        self.grants.append(grant)
        if not wait:
            self.arrive(grant.units)

    @rule(span=days)
    def pass_time(self, span: int) -> None:
        self.now += timedelta(days=span)

    @rule()
    def approve_due(self) -> None:
        for lot in list(self.member.lots.values()):
            if lot.pending and lot.remaining and lot.available_at <= self.now:
                self.posted.append(ledger.approve(self.member, lot, now=self.now))
        for grant in self.grants:
            if grant.available_at <= self.now:
                self.arrive([unit for unit in grant.units if unit.where == "pending"])

    @rule()
    def expire_due(self) -> None:
        for lot in list(self.member.lots.values()):
            if not lot.pending and lot.remaining and lot.expires_at and lot.expires_at <= self.now:
                self.posted.append(ledger.expire(self.member, lot, now=self.now))
        for unit in self.at("available"):
            if unit.lot.over(self.now):
                unit.where = "expired"

    @precondition(lambda self: any(len(grant.units) > grant.clawed for grant in self.grants))
    @rule(data=st.data())
    def claw_back(self, data: st.DataObject) -> None:
        grant = data.draw(st.sampled_from([each for each in self.grants if len(each.units) > each.clawed]))
        points = data.draw(up_to(len(grant.units) - grant.clawed))
        self.posted.append(ledger.claw_back(self.member, points, grant.lot_id, ORIGIN, now=self.now, floor=self.floor))
        grant.clawed += points
        own = [unit for where in ("pending", "available", "expired") for unit in grant.units if unit.where == where]
        taken = own[:points]
        others = [unit for unit in self.at("available") if unit not in taken]
        taken += others[: points - len(taken)]
        for unit in taken:
            unit.where = "clawed"
        if not self.floor:
            self.debt += points - len(taken)

    @precondition(lambda self: self.member.available > 0)
    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        points = data.draw(up_to(self.member.available))
        done, lots = ledger.hold(self.member, points, ORIGIN, now=self.now)
        self.posted.append(done)
        units = self.at("available")[:points]
        assert lots == Counter(unit.lot.lot_id for unit in units)
        for unit in units:
            unit.where = "held"
        self.redemptions.append(Redeemed(units, lots))

    @precondition(lambda self: any(each.state == "held" for each in self.redemptions))
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        redeemed = data.draw(st.sampled_from([each for each in self.redemptions if each.state == "held"]))
        self.posted.append(ledger.settle(self.member, len(redeemed.units), ORIGIN, now=self.now))
        redeemed.state = "settled"
        for unit in redeemed.units:
            unit.where = "redeemed"

    @precondition(lambda self: any(each.state != "back" for each in self.redemptions))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        redeemed = data.draw(st.sampled_from([each for each in self.redemptions if each.state != "back"]))
        settled = redeemed.state == "settled"
        self.posted += ledger.release(self.member, redeemed.lots, ORIGIN, now=self.now, settled=settled)
        redeemed.state = "back"
        self.arrive(redeemed.units)
        for grant in {unit.lot for unit in redeemed.units}:
            for unit in grant.units:
                if unit.where == "available" and grant.over(self.now):
                    unit.where = "expired"

    @precondition(lambda self: self.member.available > 0)
    @rule(data=st.data())
    def deduct(self, data: st.DataObject) -> None:
        points = data.draw(up_to(self.member.available))
        self.posted.append(ledger.deduct(self.member, points, ORIGIN, now=self.now))
        for unit in self.at("available")[:points]:
            unit.where = "deducted"

    # -- what holds after every step

    @invariant()
    def every_posting_sums_to_zero(self) -> None:
        for done in self.posted:
            assert sum(done.entries.values()) == 0
            assert all(done.entries.values())
            own = done.entries.get(Account.PENDING, 0) + done.entries.get(Account.AVAILABLE, 0)
            assert done.points == own

    @invariant()
    def balances_are_the_sums_of_entries(self) -> None:
        sums: Counter[Account] = Counter()
        for done in self.posted:
            sums.update(done.entries)
        member = self.member
        assert (member.pending, member.available) == (sums[Account.PENDING], sums[Account.AVAILABLE])
        assert (member.held, member.lifetime_redeemed) == (sums[Account.HELD], sums[Account.REDEEMED])

    @invariant()
    def balances_are_the_units(self) -> None:
        places = Counter(unit.where for unit in self.units)
        member = self.member
        assert (member.pending, member.held) == (places["pending"], places["held"])
        assert (member.available, member.debt) == (places["available"] - self.debt, self.debt)
        assert member.lifetime_redeemed == places["redeemed"]
        assert member.lifetime_earned == len(self.units) - sum(grant.clawed for grant in self.grants)

    @invariant()
    def there_is_a_debt_or_there_are_points_to_spend_but_not_both(self) -> None:
        spendable = sum(lot.remaining for lot in self.member.lots.values() if not lot.pending)
        assert not (self.member.debt and spendable)
        assert self.member.available == spendable - self.member.debt

    @invariant()
    def each_lot_holds_its_units(self) -> None:
        for grant in self.grants:
            lot: Lot = self.member.lots[grant.lot_id]
            places = Counter(unit.where for unit in grant.units)
            assert lot.remaining == places["pending"] + places["available"]
            assert lot.expired == places["expired"]
            assert 0 <= lot.remaining + lot.expired <= lot.granted

    @invariant()
    def no_more_is_clawed_back_than_was_granted(self) -> None:
        granted = sum(done.points for done in self.posted if done.kind is Kind.ACCRUAL)
        clawed = sum(done.entries.get(Account.CLAWBACK, 0) for done in self.posted)
        assert 0 <= clawed <= granted


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
