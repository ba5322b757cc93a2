"""Privacy requests: the population and everybody's scores stay; nothing says whose the redacted numbers are."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from fixtures.mortal import killed_before_each_statement, until_death
from fixtures.privacy import asked, exported
from integration.rfm.support import NOON, Rig, clawed_back, earned
from loyalnest.kit.crypto.lookup import pseudonym
from loyalnest.kit.events import new_id

ANNA = 7


async def populate(rig: Rig, merchant_id: str, customers: int = 10) -> None:
    """Let customers 1 to `customers` order, each more than the one before, and score them."""
    for number in range(1, customers + 1):
        placed_at = NOON - timedelta(days=customers - number)
        orders = [
            earned(merchant_id, number * 100 + each, number, str(number * 10), placed_at) for each in range(number)
        ]
        await rig.give(orders)
    await rig.refresher.refresh(merchant_id)


async def customer_ids(rig: Rig, table: str, merchant_id: str) -> set[int]:
    rows = await rig.fetch(f"SELECT DISTINCT customer_id FROM rfm.{table} WHERE merchant_id = $1", merchant_id)
    return {row["customer_id"] for row in rows}


async def everywhere(rig: Rig, merchant_id: str) -> set[int]:
    found = [await customer_ids(rig, each, merchant_id) for each in ("orders", "customers", "rfm_segment_deltas")]
    return set().union(*found)


async def test_a_redacted_customers_numbers_go_on_under_the_ledgers_pseudonym(rig: Rig) -> None:
    for merchant_id in ("acme", "brew"):
        await populate(rig, merchant_id)
    scores, values = await rig.scored("acme"), await rig.values("acme")
    deltas = len(await rig.deltas("acme"))
    request_id = new_id()
    confirmed = await rig.ask(asked("customer_redact", ANNA, "acme", request_id))

    stand_in = await stand_in_of(rig, request_id)
    assert everywhere_of(await everywhere(rig, "acme")) == ({stand_in}, {1, 2, 3, 4, 5, 6, 8, 9, 10})
    assert await rig.scored("acme") == {stand_in if each == ANNA else each: score for each, score in scores.items()}
    assert await rig.values("acme") == {stand_in if each == ANNA else each: value for each, value in values.items()}
    assert len(await rig.deltas("acme")) == deltas
    assert (confirmed.service, confirmed.counts["orders"], confirmed.counts["scores"]) == ("rfm", 7, 1)
    assert ANNA in await everywhere(rig, "brew")


def everywhere_of(found: set[int]) -> tuple[set[int], set[int]]:
    """Pseudonyms and customers."""
    return {each for each in found if each < 0}, {each for each in found if each > 0}


async def test_what_comes_later_finds_the_order_and_tells_nobody(rig: Rig) -> None:
    await populate(rig, "acme")
    request_id = new_id()
    await rig.ask(asked("customer_redact", ANNA, "acme", request_id))
    stand_in = await stand_in_of(rig, request_id)
    await rig.fetch("DELETE FROM rfm.outbox WHERE topic = 'gdpr_request.confirmed'")
    await rig.take_updates("acme")
    rig.clock.move(minutes=1)
    # Points tells under the pseudonym; what was on its way when the redaction came still names her.
    await rig.give(
        [
            *(clawed_back("acme", each, stand_in, "0", cancelled=True) for each in (700, 703, 704, 705, 706)),
            clawed_back("acme", 701, ANNA, "1"),
            earned("acme", 702, ANNA, "70"),
        ]
    )
    assert ANNA not in await everywhere(rig, "acme")
    assert (await rig.values("acme"))[stand_in][1:] == (2, Decimal(70 + 1))
    assert stand_in in {each["customer_id"] for each in await rig.deltas("acme") if each["changed_at"] > NOON}
    rig.clock.move(days=300)
    await rig.give([earned("acme", each, each, "10", rig.clock()) for each in range(5000, 5010)])
    await rig.refresher.refresh("acme")
    assert min(each.customer_id for each in await rig.take_updates("acme")) > 0
    await rig.give([earned("acme", 999, ANNA, "5")])
    assert (await rig.values("acme"))[ANNA][1] == 1, "a later order begins somebody new"


async def stand_in_of(rig: Rig, request_id: UUID) -> int:
    return pseudonym((await rig.keys.for_merchant("acme")).index_key, request_id, ANNA)


async def test_a_shop_that_is_killed_anywhere_is_redacted_whole(
    rig: Rig, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loyalnest.kit.pseudonymising.CHUNK", 2)
    await populate(rig, "brew", 3)
    shops = 0
    async for database in killed_before_each_statement(rig.database, database_url):
        shops += 1
        await rig.give([earned("acme", shops * 10 + number, number, "10") for number in range(1, 6)])
        request = asked("shop_redact", None, "acme")
        await until_death(lambda: rig.privacy_on(database).handle([request]))  # noqa: B023 - run at once
        assert len(await rig.values("acme")) == 5 * shops
        confirmed = await rig.ask(request)
        assert confirmed.counts["scores"] == 5
        assert everywhere_of(await everywhere(rig, "acme"))[1] == set()
    assert shops > 15
    assert everywhere_of(await everywhere(rig, "brew")) == (set(), {1, 2, 3})


async def test_an_export_says_everything_and_leaves_sealed(rig: Rig) -> None:
    await populate(rig, "acme")
    confirmed = await rig.ask(asked("customer_data", ANNA, "acme"))
    document = exported(await rig.keys.for_merchant("acme"), [confirmed])
    assert (document["service"], document["customer_id"]) == ("rfm", str(ANNA))
    assert [each["order_id"] for each in document["orders"]] == list(range(700, 707))
    assert [each["orders"] for each in document["scores"]] == [7]
    assert len(document["movements"]) == confirmed.counts["movements"] > 0
    nobody = await rig.ask(asked("customer_data", 12345, "acme"))
    assert (nobody.sealed, set(nobody.counts.values())) == (b"", {0})
