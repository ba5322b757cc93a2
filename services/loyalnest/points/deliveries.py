"""Applies a batch of Shopify's deliveries to the ledger in one transaction.

The statements of a batch are the same few whatever its size: note the deliveries, lock the orders and then the
members they touch, and the campaigns, decide in memory (`decisions`), store arrays.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from loyalnest.api_gateway.events import OrderFacts, RefundFacts, Topic, WebhookReceived
from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.events import Event
from loyalnest.kit.inbox import take_new
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.rules_projection import RulesProjection, VersionedRules
from loyalnest.points.campaign_repository import lock_campaigns, segments_of, store_spending
from loyalnest.points.decisions import Decisions, Known, member_key
from loyalnest.points.repository import Book, Key, posted_sources, take_new_refunds
from loyalnest.points.tier_repository import tiers_of


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
        known = await self._known(connection, book, orders, rules)
        decided = Decisions(book, known)
        for merchant_id, order in orders:
            decided.see_order(merchant_id, order)
        for merchant_id, order_id, base in new_refunds:
            book.awards[merchant_id, order_id].refunded_base += base
        clawbacks = decided.clawbacks()
        await book.load_lots(
            connection,
            [member_key(clawback.award) for clawback in clawbacks],
            [(each.award.merchant_id, each.award.lot_id) for each in clawbacks if each.award.lot_id is not None],
        )
        decided.post_clawbacks(clawbacks, new_refunds)
        sources = {key: f"customer:{key[1]}:joining" for key in joining}
        posted = await posted_sources(connection, ((key[0], source) for key, source in sources.items()))
        decided.welcome(key for key, source in sorted(sources.items()) if (key[0], source) not in posted)
        await book.store(connection)
        await store_spending(connection, known.campaigns)
        await self._outbox.append(connection, decided.events)

    async def _known(
        self,
        connection: Connection,
        book: Book,
        orders: Sequence[tuple[str, OrderFacts]],
        rules: Mapping[str, VersionedRules],
    ) -> Known:
        """What the locked `book` is decided by."""
        buyers = {(merchant_id, order.customer_id) for merchant_id, order in orders if order.customer_id is not None}
        tiers = await tiers_of(connection, buyers)
        earning = [
            (merchant_id, order.placed_at)
            for merchant_id, order in orders
            if order.paid and book.awards[merchant_id, order.order_id].awarded_at is None
        ]
        given = [(award.merchant_id, bonus.campaign_id) for award in book.awards.values() for bonus in award.bonuses]
        campaigns = await lock_campaigns(connection, earning, given)
        by_segment = any(campaign.segments for campaign in campaigns.values())
        segments = await segments_of(connection, buyers) if by_segment else {}
        return Known(rules, tiers, segments, campaigns, self._clock())


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
    known = {member_key(award) for award in book.awards.values() if award.customer_id is not None}
    return keys | known
