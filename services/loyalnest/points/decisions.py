"""What a batch of deliveries does to the book it has loaded: `awards`, `bonuses` and `ledger` in turn, without I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from loyalnest.api_gateway.events import OrderFacts
from loyalnest.kit.events import Event
from loyalnest.kit.rules_projection import VersionedRules
from loyalnest.points import awards, bonuses, ledger
from loyalnest.points.bonuses import Campaign, Campaigns
from loyalnest.points.events import CampaignBonus, PointsClawedBack, PointsEarned, ProductSpend
from loyalnest.points.models import Member, OrderAward, Origin
from loyalnest.points.rates import net_base
from loyalnest.points.repository import Book, Key
from loyalnest.points.rules import lot_times
from loyalnest.points.tier_repository import NO_TIER, CustomerTier


@dataclass(frozen=True, slots=True)
class Known:
    """What a batch decides by. segments: of the buyers, if a campaign asks for them."""

    rules: Mapping[str, VersionedRules]
    tiers: Mapping[Key, CustomerTier]
    segments: Mapping[Key, str]
    campaigns: Campaigns
    now: datetime


class Decisions:
    """What one batch does to the book, in the order of its deliveries."""

    def __init__(self, book: Book, known: Known) -> None:
        self._book = book
        self._known = known
        self._rules = known.rules
        self._now = known.now
        self._campaigns: dict[str, list[Campaign]] = {}
        for (merchant_id, _), campaign in known.campaigns.items():
            self._campaigns.setdefault(merchant_id, []).append(campaign)
        self._changed_orders: dict[Key, None] = {}
        self.events: list[Event] = []

    def see_order(self, merchant_id: str, order: OrderFacts) -> None:
        """Take in one order's delivery: its cancellation, and its award if this is the first that says paid."""
        award = self._book.awards[merchant_id, order.order_id]
        if order.cancelled and not award.cancelled:
            award.cancelled = True
            self._changed_orders[merchant_id, order.order_id] = None
        if order.customer_id is None:
            return
        versioned, buyer = self._rules[merchant_id], (merchant_id, order.customer_id)
        tier = self._known.tiers.get(buyer, NO_TIER)
        accrual = awards.earn(
            award,
            order,
            versioned.rules.earning.order_rule,
            multiplier=tier.multiplier,
            settings_version=versioned.version,
            now=self._now,
        )
        if accrual is not None:
            if campaigns := self._campaigns.get(merchant_id):
                bonuses.give(award, order, campaigns, tier.name, self._known.segments.get(buyer, ""))
            self._post_accrual(accrual)
            # Refunds and a cancellation that came before count from now on.
            self._changed_orders[merchant_id, order.order_id] = None

    def _post_accrual(self, accrual: awards.Accrual) -> None:
        award, order = accrual.award, accrual.order
        assert award.customer_id is not None
        available_at = self._now
        if award.awarded:
            origin = Origin(
                source=f"order:{award.order_id}:award",
                order_id=award.order_id,
                rule=award.rule,
                settings_version=award.settings_version,
            )
            member = self._book.members[award.merchant_id, award.customer_id]
            award.lot_id, available_at = self._accrue(member, award.awarded, origin)
        payload = PointsEarned(
            customer_id=award.customer_id,
            points=award.awarded,
            reason="order",
            transaction_id=award.lot_id,
            available_at=available_at,
            order_id=award.order_id,
            base=award.base,
            currency=order.currency,
            placed_at=order.placed_at,
            products=_products(order),
            bonus=tuple(CampaignBonus(campaign_id=each.campaign_id, points=each.points) for each in award.bonuses),
        )
        self.events.append(payload.event(award.merchant_id, str(award.customer_id)))

    def _accrue(self, member: Member, points: int, origin: Origin) -> tuple[UUID, datetime]:
        available_at, expires_at = lot_times(self._rules[member.merchant_id].rules, self._now)
        transaction = ledger.accrue(
            member, points, origin, now=self._now, available_at=available_at, expires_at=expires_at
        )
        self._book.transactions.append(transaction)
        return transaction.transaction_id, available_at

    def clawbacks(self) -> list[awards.Clawback]:
        """Bring every award of the batch down to what should stand, and give budgets back what campaigns had given."""
        found = (awards.claw_back_excess(award) for award in self._book.awards.values())
        clawbacks = [clawback for clawback in found if clawback is not None]
        for clawback in clawbacks:
            bonuses.take_back(clawback.award.merchant_id, clawback.returned, self._known.campaigns)
        return clawbacks

    def post_clawbacks(self, clawbacks: Iterable[awards.Clawback], refunds: Iterable[tuple[str, int, Decimal]]) -> None:
        """Post `clawbacks`, and tell of every order that is worth less than before."""
        taken: dict[Key, int] = {}
        for clawback in clawbacks:
            award = clawback.award
            taken[award.merchant_id, award.order_id] = clawback.points
            origin = Origin(
                source=f"order:{award.order_id}:clawback:{clawback.number}",
                order_id=award.order_id,
                rule=award.rule,
                settings_version=award.settings_version,
            )
            earning = self._rules[award.merchant_id].rules.earning
            transaction = ledger.claw_back(
                self._book.members[member_key(award)],
                clawback.points,
                award.lot_id,
                origin,
                now=self._now,
                floor=earning.debt == "Floor",
            )
            self._book.transactions.append(transaction)
        self._changed_orders.update(dict.fromkeys((merchant_id, order_id) for merchant_id, order_id, _ in refunds))
        for key in self._changed_orders:
            self._tell_of_change(self._book.awards[key], taken.get(key, 0))

    def _tell_of_change(self, award: OrderAward, points: int) -> None:
        if award.customer_id is None or award.base is None or not (award.cancelled or award.refunded_base):
            return
        payload = PointsClawedBack(
            customer_id=award.customer_id,
            order_id=award.order_id,
            points=points,
            net_base=Decimal(0) if award.cancelled else net_base(award, award.base),
            cancelled=award.cancelled,
            clawed_back=award.clawed_back,
        )
        self.events.append(payload.event(award.merchant_id, str(award.customer_id)))

    def welcome(self, customers: Iterable[Key]) -> None:
        """Grant the joining points of new customers."""
        for merchant_id, customer_id in customers:
            versioned = self._rules[merchant_id]
            rule = versioned.rules.earning.customer_rule
            if rule is None or not rule.points:
                continue
            origin = Origin(
                source=f"customer:{customer_id}:joining", rule=rule.name, settings_version=versioned.version
            )
            member = self._book.members[merchant_id, customer_id]
            transaction_id, available_at = self._accrue(member, rule.points, origin)
            payload = PointsEarned(
                customer_id=customer_id,
                points=rule.points,
                reason="joining",
                transaction_id=transaction_id,
                available_at=available_at,
            )
            self.events.append(payload.event(merchant_id, str(customer_id)))


def _products(order: OrderFacts) -> tuple[ProductSpend, ...]:
    """What the order was for: the bases of its lines by product, gift cards and what is of no product left out."""
    bases: dict[int, Decimal] = {}
    for line in order.lines:
        if line.product_id is not None and not line.gift_card:
            known = bases.get(line.product_id)
            bases[line.product_id] = line.base if known is None else known + line.base
    return tuple(ProductSpend(product_id=product_id, base=base) for product_id, base in bases.items())


def member_key(award: OrderAward) -> Key:
    """Whose award it is, which has been made."""
    assert award.customer_id is not None
    return award.merchant_id, award.customer_id
