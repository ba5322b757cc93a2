"""Applies a batch of Shopify's deliveries to the referrals in one transaction.

The statements of a batch are the same few whatever its size: note the deliveries, lock the codes, orders, buyers and
referrals they touch, decide in memory, store arrays. What is decided stands in `rules`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

import msgspec

from loyalnest.api_gateway.events import SEALED_PURPOSE, OrderFacts, PersonalData, RefundFacts, Topic, WebhookReceived
from loyalnest.kit.clock import Clock
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.events import Event, new_id
from loyalnest.kit.inbox import take_new
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.rules_projection import RulesProjection, VersionedRules
from loyalnest.referrals import codes, rules
from loyalnest.referrals.cache import StatusCache
from loyalnest.referrals.identity import Identity, identities
from loyalnest.referrals.models import Order, Referral, Status
from loyalnest.referrals.outgoing import told_of
from loyalnest.referrals.repository import (
    Book,
    Key,
    Pair,
    add_identities,
    evidence,
    take_new_refunds,
    use_codes,
)

_personal_decoder = msgspec.json.Decoder(PersonalData)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery that may concern referrals. identities: by what the person is recognised."""

    merchant_id: str
    facts: WebhookReceived
    identities: frozenset[Identity]

    @property
    def customer(self) -> Key | None:
        """Whom it tells of: the order's or the customer's own; nobody for refunds and guests."""
        told = self.facts.order or self.facts.customer
        return None if told is None or told.customer_id is None else (self.merchant_id, told.customer_id)

    @property
    def code(self) -> tuple[str, str] | None:
        """The merchant and the code that the order came by."""
        order = self.facts.order
        code = codes.parse(order.referral_code)[0] if order is not None and order.customer_id is not None else ""
        return (self.merchant_id, code) if code else None

    def refunds(self) -> Iterator[RefundFacts]:
        """The refunds it tells of."""
        if self.facts.order is not None:
            yield from self.facts.order.refunds
        if self.facts.refund is not None:
            yield self.facts.refund


class DeliveryBatches:
    """The consumer of `webhook.received`."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        projection: RulesProjection,
        keys: KeyRing,
        cache: StatusCache,
        clock: Clock,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._projection = projection
        self._keys = keys
        self._cache = cache
        self._clock = clock

    async def handle(self, events: Sequence[Event]) -> None:
        """Apply `events`; those that were applied before, and those that concern no referral, change nothing."""
        read = [(event, WebhookReceived.read(event)) for event in events]
        concerned = [(event, facts) for event, facts in read if facts.order or facts.refund or facts.customer]
        if not concerned:
            return
        # Keys may have to be fetched from another process: not while a transaction holds rows and a connection.
        known = {(event.merchant_id, event.id): await self._delivery(event, facts) for event, facts in concerned}
        async with self._database.worker() as connection:
            new = await take_new(connection, "referrals", [event for event, _ in concerned])
            deliveries = [known[event.merchant_id, event.id] for event in new]
            if not deliveries:
                return
            terms = await self._projection.load(connection, (each.merchant_id for each in deliveries))
            deliveries = [each for each in deliveries if _counts(each, terms)]
            changed = await self._apply(connection, deliveries, terms)
        await self._cache.put(changed)

    async def _delivery(self, event: Event, facts: WebhookReceived) -> Delivery:
        """The delivery with the person's identities; without, if the merchant's keys were destroyed.

        Raises SealError for a delivery that was damaged or forged, Unavailable if keys cannot be had.
        """
        opened = await self._keys.open_if_kept(event.merchant_id, SEALED_PURPOSE, facts.sealed)
        if opened is None:
            return Delivery(event.merchant_id, facts, frozenset())
        keys = await self._keys.for_merchant(event.merchant_id)
        return Delivery(event.merchant_id, facts, identities(keys, _personal_decoder.decode(opened)))

    async def _apply(
        self, connection: Connection, deliveries: Sequence[Delivery], terms: Mapping[str, VersionedRules]
    ) -> list[Referral]:
        now = self._clock()
        owners = await use_codes(connection, (each.code for each in deliveries if each.code is not None), now)
        book = Book()
        await book.lock_orders(connection, _orders_to_make(deliveries, owners), _order_keys(deliveries))
        refunds = {
            (each.merchant_id, refund.order_id, refund.refund_id): refund.base
            for each in reversed(deliveries)  # of a refund that comes twice with two bases, the first counts
            for refund in each.refunds()
            if (each.merchant_id, refund.order_id) in book.orders
        }
        new_refunds = await take_new_refunds(connection, refunds)
        customers = {each.customer for each in deliveries if each.customer is not None}
        ordered = {(o.merchant_id, o.customer_id) for o in book.orders.values() if o.customer_id is not None}
        await book.lock_buyers(connection, customers | ordered)
        decisions = _Decisions(book, terms, now)
        for delivery in deliveries:
            decisions.see(delivery, owners)
        decisions.refund(new_refunds)
        await book.store_buyers(connection, now)
        await add_identities(connection, decisions.identities(deliveries))
        pairs = decisions.follow()
        if pairs:
            decisions.judge(pairs, await evidence(connection, pairs, now))
        changed = book.changed_referrals(now)
        await book.store(connection, changed)
        await self._outbox.append(connection, decisions.events)
        return changed


class _Decisions:
    """What one batch does to the book."""

    def __init__(self, book: Book, terms: Mapping[str, VersionedRules], now: datetime) -> None:
        self._book = book
        self._terms = terms
        self._now = now
        self.events: list[Event] = []

    def see(self, delivery: Delivery, owners: Mapping[tuple[str, str], int]) -> None:
        """Take in what a delivery says of its customer and its order."""
        customer, facts = delivery.facts.customer, delivery.facts.order
        if customer is not None and delivery.facts.shopify_topic == Topic.CUSTOMERS_CREATE:
            buyer = self._book.buyers[delivery.merchant_id, customer.customer_id]
            if buyer.redacted_at is not None and customer.created_at and customer.created_at > buyer.redacted_at:
                buyer.redacted_at = None  # Shopify tells that the person wants to be known again
        if facts is None or facts.customer_id is None:
            return
        if facts.paid:
            self._first(delivery.merchant_id, facts)
        order = self._book.orders.get((delivery.merchant_id, facts.order_id))
        if order is None:
            return
        owner = owners.get(delivery.code) if delivery.code is not None else None
        if owner is not None and order.referrer_id is None:
            order.referrer_id, order.customer_id, order.placed_at = owner, facts.customer_id, facts.placed_at
            order.channel = codes.parse(facts.referral_code)[1]
        order.cancelled |= facts.cancelled
        if facts.paid and not order.paid and order.customer_id is not None:
            order.paid, order.base = True, facts.base

    def _first(self, merchant_id: str, facts: OrderFacts) -> None:
        """Keep the first of the customer's paid orders, in whichever order they are told."""
        assert facts.customer_id is not None
        buyer = self._book.buyers[merchant_id, facts.customer_id]
        told = facts.placed_at, facts.order_id
        if buyer.first_placed_at is None or told < (buyer.first_placed_at, buyer.first_order_id or 0):
            buyer.first_placed_at, buyer.first_order_id = told

    def refund(self, refunds: Iterable[tuple[str, int, Decimal]]) -> None:
        """Take in refunds that are new."""
        for merchant_id, order_id, base in refunds:
            self._book.orders[merchant_id, order_id].refunded_base += base

    def identities(self, deliveries: Iterable[Delivery]) -> Iterator[tuple[str, Identity, int]]:
        """By what the batch's customers are recognised; nothing of those who were redacted."""
        for each in deliveries:
            if each.customer is not None and self._book.buyers[each.customer].redacted_at is None:
                yield from ((each.merchant_id, identity, each.customer[1]) for identity in each.identities)

    def follow(self) -> list[Pair]:
        """Bring every friend's referral to what the orders say. Returns the pairs to be judged."""
        orders: dict[Key, list[Order]] = {}
        for order in self._book.orders.values():
            if order.customer_id is not None:
                orders.setdefault((order.merchant_id, order.customer_id), []).append(order)
        return [pair for key in sorted(orders) for pair in self._follow(key, orders[key])]

    def _follow(self, friend: Key, orders: Sequence[Order]) -> Iterator[Pair]:
        versioned, buyer = self._terms[friend[0]], self._book.buyers[friend]
        offer = versioned.rules.referrals
        referral = self._book.referrals.get(friend)
        minimum = referral.minimum_spend if referral is not None else None
        if minimum is None:
            minimum = offer.minimum_spend if offer is not None else Decimal(0)
        claim = rules.claim_of(buyer.first_order_id, orders, minimum)
        if claim is None:
            return
        if referral is None:
            referral = self._book.referrals[friend] = self._new(friend, claim.order)
        if claim.status is not Status.PENDING:
            rules.fix_terms(referral, offer, versioned.version, self._now)
        was_completed = referral.status == Status.COMPLETED
        if rules.follow(referral, claim):
            assert buyer.first_placed_at is not None and buyer.first_order_id is not None
            yield Pair(friend[0], referral.referrer_id, friend[1], buyer.first_placed_at, buyer.first_order_id)
        elif was_completed and referral.status == Status.REVERSED:
            self.events.append(told_of(referral, self._now))

    def _new(self, friend: Key, order: Order) -> Referral:
        assert order.referrer_id is not None
        return Referral(
            merchant_id=friend[0],
            referral_id=new_id(),
            friend_id=friend[1],
            referrer_id=order.referrer_id,
            channel=order.channel,
            status=Status.PENDING,
            created_at=self._now,
            updated_at=self._now,
        )

    def judge(self, pairs: Iterable[Pair], known: Mapping[Key, rules.Evidence]) -> None:
        """Complete, hold or refuse each; those of one referrer count one after the other."""
        converted: dict[Key, int] = {}
        for pair in pairs:
            referrer, friend = (pair.merchant_id, pair.referrer_id), (pair.merchant_id, pair.friend_id)
            more, seen = converted.get(referrer, 0), known[friend]
            status, reason = rules.judge(
                pair.referrer_id, pair.friend_id, replace(seen, day=seen.day + more, week=seen.week + more)
            )
            referral = self._book.referrals[friend]
            rules.settle(referral, status, reason, self._now)
            if status is not Status.REFUSED:
                converted[referrer] = more + 1
            if status is Status.COMPLETED:
                self.events.append(told_of(referral, self._now))


def _counts(delivery: Delivery, terms: Mapping[str, VersionedRules]) -> bool:
    """Whether a delivery is of no test order, or the merchant lets those count."""
    order = delivery.facts.order
    return order is None or not order.test or terms[delivery.merchant_id].rules.earning.include_test_orders


def _orders_to_make(deliveries: Iterable[Delivery], owners: Mapping[tuple[str, str], int]) -> Iterator[Key]:
    for each in deliveries:
        if each.facts.order is not None and each.code in owners:
            yield each.merchant_id, each.facts.order.order_id
        if each.facts.refund is not None:
            yield each.merchant_id, each.facts.refund.order_id


def _order_keys(deliveries: Iterable[Delivery]) -> Iterator[Key]:
    return ((each.merchant_id, each.facts.order.order_id) for each in deliveries if each.facts.order is not None)
