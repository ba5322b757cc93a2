"""Applies a batch of Shopify's deliveries to the ledger in one transaction.

The statements of a batch are the same few whatever its size: note the deliveries, lock the orders and then the
members they touch, decide in memory, store arrays. What is decided stands in `awards` and `ledger`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from loyalnest.api_gateway.events import OrderFacts, RefundFacts, Topic, WebhookReceived
from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.events import Event
from loyalnest.kit.inbox import take_new
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.rules_projection import RulesProjection, VersionedRules
from loyalnest.points import awards, ledger
from loyalnest.points.events import PointsClawedBack, PointsEarned
from loyalnest.points.models import Member, OrderAward, Origin
from loyalnest.points.repository import Book, Key, posted_sources, take_new_refunds
from loyalnest.points.rules import lot_times
from loyalnest.points.tier_repository import tier_multipliers

_NO_TIER = Decimal(1)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery that may concern the ledger."""

    merchant_id: str
    facts: WebhookReceived


class DeliveryBatches:
    """The consumer of `webhook.received`."""

    def __init__(self, database: Database, outbox: Outbox, rules: RulesProjection, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._rules = rules
        self._clock = clock

    async def handle(self, events: Sequence[Event]) -> None:
        """Apply `events`; those that were applied before, and those that concern no points, change nothing."""
        async with self._database.worker() as connection:
            new = await take_new(connection, "points", events)
            deliveries = [Delivery(event.merchant_id, WebhookReceived.read(event)) for event in new]
            deliveries = [each for each in deliveries if _concerns_points(each.facts)]
            if deliveries:
                await self._apply(connection, deliveries)

    async def _apply(self, connection: Connection, deliveries: Sequence[Delivery]) -> None:
        rules = await self._rules.load(connection, (each.merchant_id for each in deliveries))
        orders = [
            (each.merchant_id, each.facts.order)
            for each in deliveries
            if each.facts.order is not None
            and (not each.facts.order.test or rules[each.merchant_id].rules.earning.include_test_orders)
        ]
        book = Book()
        await book.lock_awards(connection, _order_keys(deliveries))
        new_refunds = await take_new_refunds(connection, list(_refunds(deliveries)))
        joining = {
            (each.merchant_id, each.facts.customer.customer_id)
            for each in deliveries
            if each.facts.customer is not None and each.facts.shopify_topic == Topic.CUSTOMERS_CREATE
        }
        await book.lock_members(connection, {*joining, *_member_keys(book, orders)})
        buyers = {(merchant_id, order.customer_id) for merchant_id, order in orders if order.customer_id is not None}
        decided = _Decisions(book, rules, await tier_multipliers(connection, buyers), self._clock())
        for merchant_id, order in orders:
            decided.see_order(merchant_id, order)
        for merchant_id, order_id, base in new_refunds:
            book.awards[merchant_id, order_id].refunded_base += base
        clawbacks = decided.clawbacks()
        await book.load_lots(
            connection,
            [_member_key(clawback.award) for clawback in clawbacks],
            [(each.award.merchant_id, each.award.lot_id) for each in clawbacks if each.award.lot_id is not None],
        )
        decided.post_clawbacks(clawbacks, new_refunds)
        sources = {key: f"customer:{key[1]}:joining" for key in joining}
        posted = await posted_sources(connection, ((key[0], source) for key, source in sources.items()))
        decided.welcome(key for key, source in sorted(sources.items()) if (key[0], source) not in posted)
        await book.store(connection)
        await self._outbox.append(connection, decided.events)


class _Decisions:
    """What one batch does to the book, in the order of its deliveries."""

    def __init__(
        self, book: Book, rules: Mapping[str, VersionedRules], multipliers: dict[Key, Decimal], now: datetime
    ) -> None:
        self._book = book
        self._rules = rules
        self._multipliers = multipliers
        self._now = now
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
        versioned = self._rules[merchant_id]
        accrual = awards.earn(
            award,
            order,
            versioned.rules.earning.order_rule,
            multiplier=self._multipliers.get((merchant_id, order.customer_id), _NO_TIER),
            settings_version=versioned.version,
            now=self._now,
        )
        if accrual is not None:
            self._post_accrual(accrual)
            # Refunds and a cancellation that came before count from now on.
            self._changed_orders[merchant_id, order.order_id] = None

    def _post_accrual(self, accrual: awards.Accrual) -> None:
        award = accrual.award
        assert award.customer_id is not None
        available_at = self._now
        if accrual.points:
            origin = Origin(
                source=f"order:{award.order_id}:award",
                order_id=award.order_id,
                rule=award.rule,
                settings_version=award.settings_version,
            )
            member = self._book.members[award.merchant_id, award.customer_id]
            award.lot_id, available_at = self._accrue(member, accrual.points, origin)
        payload = PointsEarned(
            customer_id=award.customer_id,
            points=accrual.points,
            reason="order",
            transaction_id=award.lot_id,
            available_at=available_at,
            order_id=award.order_id,
            base=award.base,
            currency=accrual.currency,
            placed_at=accrual.placed_at,
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
        """Bring every award of the batch down to what should stand."""
        found = (awards.claw_back_excess(award) for award in self._book.awards.values())
        return [clawback for clawback in found if clawback is not None]

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
                self._book.members[_member_key(award)],
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
            net_base=Decimal(0) if award.cancelled else max(Decimal(0), award.base - award.refunded_base),
            cancelled=award.cancelled,
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


def _concerns_points(facts: WebhookReceived) -> bool:
    return facts.order is not None or facts.refund is not None or facts.shopify_topic == Topic.CUSTOMERS_CREATE


def _order_keys(deliveries: Iterable[Delivery]) -> set[Key]:
    keys = {(each.merchant_id, each.facts.order.order_id) for each in deliveries if each.facts.order is not None}
    return keys | {
        (each.merchant_id, each.facts.refund.order_id) for each in deliveries if each.facts.refund is not None
    }


def _refunds(deliveries: Iterable[Delivery]) -> Iterable[tuple[str, int, int, Decimal]]:
    for each in deliveries:
        inside: Sequence[RefundFacts] = each.facts.order.refunds if each.facts.order is not None else ()
        alone = (each.facts.refund,) if each.facts.refund is not None else ()
        for refund in (*inside, *alone):
            yield each.merchant_id, refund.order_id, refund.refund_id, refund.base


def _member_keys(book: Book, orders: Iterable[tuple[str, OrderFacts]]) -> set[Key]:
    keys = {(merchant_id, order.customer_id) for merchant_id, order in orders if order.customer_id is not None}
    known = {_member_key(award) for award in book.awards.values() if award.customer_id is not None}
    return keys | known


def _member_key(award: OrderAward) -> Key:
    assert award.customer_id is not None
    return award.merchant_id, award.customer_id
