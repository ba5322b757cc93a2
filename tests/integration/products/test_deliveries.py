"""What Shopify tells of products is kept, in any order and any number of repetitions."""

import asyncio
import itertools
import random
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.mortal import killed_before_each_statement, until_death
from integration.products.support import Products, at, deleted, facts, told
from loyalnest.api_gateway.events import CustomerFacts, ProductFacts, WebhookReceived
from loyalnest.kit.events import Event
from loyalnest.products import products_pb2 as pb
from loyalnest.products.consumers import DeliveryBatches
from loyalnest.products.indexing import terms_of


async def shown(products: Products, product_id: int, merchant: str = "a") -> pb.Product:
    found: pb.Product = await products.call("GetProduct", pb.GetProductRequest(product_id=product_id), merchant)
    return found


async def test_all_that_was_told_is_kept(products: Products) -> None:
    whole = facts(
        2**62,
        "Hut",
        description="Ein Hut",
        tags=["a", "b"],
        product_type="Hats",
        skus=["A-1"],
        image_url="https://x.example/i",
        lowest_price=Decimal("0.10"),
        highest_price=Decimal("1234567890.123456"),
        inventory=None,
    )
    await products.tell(whole)
    found = await shown(products, 2**62)
    assert (found.title, found.description, list(found.tags), list(found.skus)) == (
        "Hut",
        "Ein Hut",
        ["a", "b"],
        ["A-1"],
    )
    assert (found.lowest_price, found.highest_price) == ("0.10", "1234567890.123456")
    assert (found.available, found.visible, found.HasField("inventory")) == (True, True, False)
    assert found.updated_at == "2026-03-01T12:00:00+00:00"


async def test_the_newest_wins_and_a_deletion_beats_what_is_older(products: Products) -> None:
    story = [told(facts(1, "First", 1)), told(facts(1, "Second", 2)), deleted(1, 3)]
    for order in itertools.permutations(story):
        await products.sql("DELETE FROM products.products")
        await products.sql("DELETE FROM products.inbox")
        for event in order:
            await products.deliveries.handle([event])
            await products.deliveries.handle([event])
        assert await products.ids() == []
        assert (await products.state())["terms"] == []
    await products.tell(facts(1, "Restored", 4))
    assert (await shown(products, 1)).title == "Restored"


async def test_two_updates_of_one_second_are_ordered_by_when_they_were_sent(products: Products) -> None:
    one, other = told(facts(1, "One", 1), sent=1.001), told(facts(1, "Other", 1), sent=1.002)
    for order in ((one, other), (other, one)):
        await products.sql("DELETE FROM products.products")
        await products.sql("DELETE FROM products.search")
        await products.sql("DELETE FROM products.inbox")
        await products.sql("UPDATE products.terms SET products = 0, visible = 0")
        await products.sql("UPDATE products.catalogues SET products = 0, visible = 0")
        for event in order:
            await products.deliveries.handle([event])
        assert (await shown(products, 1)).title == "Other"


async def test_one_delivery_under_two_ids_and_one_id_twice(products: Products) -> None:
    once = told(facts(1, "Hat"), name="one")
    await products.deliveries.handle([once, once, told(facts(1, "Hat"), name="two")])
    before = await products.state()
    await products.deliveries.handle([once, told(facts(1, "Hat"), name="three")])
    assert await products.state() == before
    assert before["catalogue"] == [(1, 1)]


async def test_deliveries_of_other_things_do_nothing(products: Products) -> None:
    other = WebhookReceived(
        delivery_id="c", shopify_topic="customers/update", customer=CustomerFacts(customer_id=1)
    ).event("a", "1")
    await products.deliveries.handle([other])
    assert await products.sql("SELECT FROM products.inbox") == []


async def test_a_stock_that_no_search_depends_on_writes_no_index(products: Products) -> None:
    await products.tell(facts(1, "Hat", 1, inventory=5))
    (before,) = await products.sql("SELECT xmin, ctid FROM products.search")
    await products.tell(facts(1, "Hat", 2, inventory=4))
    (after,) = await products.sql("SELECT xmin, ctid FROM products.search")
    assert before == after
    assert (await shown(products, 1)).inventory == 4
    await products.tell(facts(1, "Hat", 3, inventory=0))
    assert await products.ids(available=True) == []


async def test_words_that_nobody_has_any_more_find_nothing_and_are_deleted(products: Products) -> None:
    await products.tell(facts(1, "Yellow hat"), facts(2, "Green hat"))
    await products.tell(facts(1, "Purple hat", 1))
    assert await products.ids("yellow") == []
    assert await products.ids("yelow") == []
    assert await products.ids("purple") == [1]
    assert await products.pruning.delete_unused_terms() == 1
    assert await products.sql("SELECT FROM products.terms WHERE term = 'yellow'") == []
    assert await products.sql("SELECT FROM products.spellings WHERE word = 'yellow'") == []
    assert await products.pruning.delete_unused_terms() == 0
    await products.tell(facts(3, "Yellow coat", 1))
    assert await products.ids("yelow") == [3]


async def test_deletions_are_forgotten_after_a_while(products: Products) -> None:
    products.now = at(0)
    await products.deliveries.handle([deleted(1, 0), told(facts(2))])
    assert await products.pruning.forget_deletions() == 0
    products.now = at(31 * 24 * 60)
    assert await products.pruning.forget_deletions() == 1
    assert [row["product_id"] for row in await products.sql("SELECT product_id FROM products.products")] == [2]


async def test_what_is_killed_in_the_middle_is_done_once_by_the_next_try(products: Products, products_url: str) -> None:
    batch = [told(facts(1, "Hat")), told(facts(2, "Coat")), deleted(3, 1)]
    await products.deliveries.handle([told(facts(3, "Gone"))])
    await products.deliveries.handle(batch)
    expected = await products.state()
    deaths = 0
    async for database in killed_before_each_statement(products.database, products_url):
        for table in ("products", "search", "terms", "spellings", "catalogues", "inbox"):
            await products.sql(f"DELETE FROM products.{table}")
        await products.deliveries.handle([told(facts(3, "Gone"))])
        handler = DeliveryBatches(database)
        deaths += await until_death(lambda handler=handler: handler.handle(batch))  # type: ignore[misc]
        await products.deliveries.handle(batch)
        assert await products.state() == expected
    assert deaths > 8


async def test_writers_at_once_lose_no_count(products: Products) -> None:
    events = [
        told(facts(n, f"Hat {n % 5} {kind}", n % 3 + kind), merchant)
        for merchant in ("a", "b")
        for n in range(1, 30)
        for kind in range(4)
    ]
    random.Random(3).shuffle(events)
    batches = [events[at : at + 15] for at in range(0, len(events), 15)]
    await asyncio.gather(*(products.deliveries.handle(batch) for batch in batches))
    at_once = {merchant: await products.state(merchant) for merchant in ("a", "b")}
    for table in ("products", "search", "terms", "spellings", "catalogues", "inbox"):
        await products.sql(f"DELETE FROM products.{table}")
    for event in events:
        await products.deliveries.handle([event])
    assert {merchant: await products.state(merchant) for merchant in ("a", "b")} == at_once


WORDS = ("hat", "coat", "shirt", "red")
stories = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.integers(1, 3),
        st.integers(0, 3),
        st.sampled_from(["told", "told", "hidden", "deleted"]),
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=14,
)


def events_of(story: list[tuple[str, int, int, str, list[str]]]) -> list[tuple[str, ProductFacts, Event]]:
    """Deliveries, of which no two of a product were sent at the same moment."""
    found = []
    for number, (merchant, product_id, minutes, kind, words) in enumerate(story):
        sent = minutes + number / 1_000
        if kind == "deleted":
            product = ProductFacts(product_id=product_id, deleted=True)
        else:
            product = facts(product_id, " ".join(words), minutes, published=kind == "told", vendor=words[0])
        found.append((merchant, product, told(product, merchant, sent=sent, name=str(number))))
    return found


def modelled(story: list[tuple[str, ProductFacts, Event]], merchant: str) -> dict[int, ProductFacts]:
    """The products that are left: of all that was told of one, what is greatest by time, deletion, and sending."""
    found: dict[int, ProductFacts] = {}
    for product_id in {product.product_id for of, product, _ in story if of == merchant}:
        every = [
            (product.updated_at or WebhookReceived.read(event).triggered_at, product.deleted, number)
            for number, (of, product, event) in enumerate(story)
            if of == merchant and product.product_id == product_id
        ]
        last = story[max(every)[2]][1]
        if not last.deleted:
            found[product_id] = last
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stories, st.randoms(use_true_random=False))
async def test_any_order_any_repetition_and_any_split_come_to_the_model(
    products: Products, story: list[tuple[str, int, int, str, list[str]]], chance: random.Random
) -> None:
    for table in ("products", "search", "terms", "spellings", "catalogues", "inbox"):
        await products.sql(f"DELETE FROM products.{table}")
    made = events_of(story)
    arriving = [event for _, _, event in made for _ in range(chance.randint(1, 2))]
    chance.shuffle(arriving)
    while arriving:
        size = chance.randint(1, 5)
        await products.deliveries.handle(arriving[:size])
        del arriving[:size]
    for merchant in ("a", "b"):
        expected = modelled(made, merchant)
        assert set(await products.ids(merchant=merchant, role="owner")) == set(expected)
        state = await products.state(merchant)
        counts: dict[tuple[str, str], list[int]] = {}
        for product in expected.values():
            for kind, term in terms_of(product).all:
                count = counts.setdefault((kind, term), [0, 0])
                count[0] += 1
                count[1] += product.published
        assert {(kind, term): [every, seen] for kind, term, every, seen in state["terms"]} == counts
        for word in WORDS:
            having = {n for n, product in expected.items() if word in product.title.split() and product.published}
            assert set(await products.ids(word, merchant)) == having
