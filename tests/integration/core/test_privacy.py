"""Privacy requests: who was erased stays erased, and what is told of a person leaves sealed."""

import asyncio
import random
from datetime import timedelta

import asyncpg
import pytest

from fixtures.mortal import killed_before_each_statement, until_death
from fixtures.privacy import asked, exported
from integration.core.support import ANNA, Core, at, scored
from loyalnest.api_gateway.events import PersonalData
from loyalnest.core import core_pb2 as pb
from loyalnest.kit.crypto.envelope import SealError
from loyalnest.kit.database import OUTAGES
from loyalnest.kit.errors import NotFound, PreconditionFailed
from loyalnest.kit.events import Event, new_id

TRACES = """
    SELECT customer_id FROM core.customers
    WHERE merchant_id = $1 AND num_nonnulls(
        email_sealed, email_hash, email_at, phone_sealed, phone_hash, phone_at, first_name_sealed, first_name_hash,
        first_name_at, last_name_sealed, last_name_hash, last_name_at, addresses_sealed, addresses_hash, addresses_at,
        accepts_marketing, marketing_at, key_version, created_at, rfm_updated_at) + length(segment) + recency > 0
"""


async def with_traces(core: Core, merchant: str = "a") -> list[int]:
    """Customers of whom there is anything but the id."""
    async with core.database.worker() as connection:
        return [row["customer_id"] for row in await connection.fetch(TRACES, merchant)]


async def until_done(core: Core, *events: Event) -> None:
    """Handle requests as the consumer loop does: outages are tried again."""
    while True:
        try:
            return await core.privacy.handle(events)
        except OUTAGES:
            await asyncio.sleep(0.01)


async def test_a_redacted_customer_leaves_an_id_and_a_time(core: Core) -> None:
    for merchant in ("a", "b"):
        await core.deliveries.handle(
            [await core.told(1, 0, ANNA, merchant, accepts_marketing=True), await core.told(2, 0, ANNA, merchant)]
        )
        await core.scores.handle([scored(1, 0, "loyal", merchant=merchant)])
    await core.privacy.handle([asked("customer_redact", 1, "a")])

    assert await with_traces(core) == [2]
    assert await core.search("anna.planted@example.com") == [2]
    assert await core.search("+49 30 5550100") == [2]
    assert await core.search("") == [2]
    assert (await core.call("GetCustomerCounts", pb.GetCustomerCountsRequest())).customers == 1
    for method, request in (
        ("GetCustomer", pb.GetCustomerRequest(customer_id=1)),
        ("GetCustomerRFM", pb.GetCustomerRFMRequest(customer_id=1)),
        ("UpdateCustomer", pb.UpdateCustomerRequest(customer_id=1, email="anna@x.org")),
    ):
        with pytest.raises(NotFound, match="was redacted on"):
            await core.call(method, request)
    with pytest.raises(PreconditionFailed, match="customers/create"):
        await core.call("CreateCustomer", pb.CreateCustomerRequest(customer_id=1, email="anna@x.org"))
    assert (await core.customer(1, "b")).email == ANNA.email
    assert (await core.customer(1, "b")).rfm.segment == "loyal"
    (confirmed,) = await core.confirmed()
    assert (confirmed.kind, confirmed.service, confirmed.counts) == ("customer_redact", "core", {"customers": 1})
    assert (confirmed.sealed, confirmed.at) == (b"", core.now)


@pytest.mark.parametrize("known", [True, False])
async def test_nothing_but_a_later_creation_brings_a_redacted_customer_back(core: Core, known: bool) -> None:
    before = [await core.ordered(1, 0, ANNA), await core.told(1, 1, ANNA, accepts_marketing=True)]
    if known:
        await core.deliveries.handle(before)
    core.now = at(100)
    await core.privacy.handle([asked("customer_redact", 1, "a")])
    assert [each.counts for each in await core.confirmed()] == [{"customers": int(known)}]
    core.now = at(200)

    late = [
        await core.told(1, 99, ANNA, topic="customers/create"),
        await core.told(1, 150, ANNA),
        await core.ordered(1, 160, ANNA),
    ]
    await core.deliveries.handle([*before, *late])
    await core.scores.handle([scored(1, 170, "loyal")])
    csv = b"customer_id,email\n1,anna.planted@example.com\n2,ben@x.org\n"
    report = await core.call("ImportCustomers", pb.ImportCustomersRequest(csv=csv))
    assert (report.created, report.updated, report.unchanged) == (1, 0, 1)
    assert await with_traces(core) == [2]

    await core.deliveries.handle([await core.told(1, 101, ANNA, topic="customers/create")])
    found = await core.customer(1)
    assert (found.email, found.source, found.first_seen_at) == (ANNA.email, "shopify", at(200).isoformat())
    await core.deliveries.handle([await core.told(1, 180, PersonalData(first_name="Hanna"))])
    assert (await core.customer(1)).first_name == "Hanna"
    await core.scores.handle([scored(1, 190, "new")])
    assert (await core.customer(1)).rfm.segment == "new"


async def test_a_request_is_done_once_whatever_it_is_told_under(core: Core) -> None:
    await core.deliveries.handle([await core.told(1, 0, ANNA)])
    core.now, request_id = at(100), new_id()
    event = asked("customer_redact", 1, "a", request_id)
    await core.privacy.handle([event, event])
    await core.deliveries.handle([await core.told(1, 101, ANNA, topic="customers/create")])
    await core.privacy.handle([event, asked("customer_redact", 1, "a", request_id)])
    assert len(await core.confirmed()) == 1
    assert (await core.customer(1)).email == ANNA.email, "only another request may redact her again"
    await core.privacy.handle([asked("customer_redact", 1, "a"), asked("customer_redact", 1, "b", request_id)])
    assert await with_traces(core) == []
    assert [each.counts["customers"] for each in await core.confirmed()] == [1, 1, 0]


async def test_a_redaction_among_batches_of_deliveries_erases_for_good(core: Core) -> None:
    events = [await core.told(n % 4 + 1, n, ANNA) for n in range(200)]
    random.Random(5).shuffle(events)

    async def apply(part: list[Event]) -> None:
        for start in range(0, len(part), 5):
            while True:
                try:
                    await core.deliveries.handle(part[start : start + 5])
                    break
                except OUTAGES:
                    await asyncio.sleep(0.005)

    async def redact() -> None:
        for customer_id in (1, 2):
            await asyncio.sleep(0.02)
            await until_done(core, asked("customer_redact", customer_id, "a"))

    await asyncio.gather(redact(), *(apply(events[start::3]) for start in range(3)))
    assert sorted(await with_traces(core)) == [3, 4]
    assert {each.counts["customers"] for each in await core.confirmed()} <= {0, 1}


async def test_sealing_anew_leaves_redacted_customers_alone(core: Core) -> None:
    await core.deliveries.handle([await core.told(1, 0, ANNA), await core.told(2, 0, ANNA)])
    await core.privacy.handle([asked("customer_redact", 1, "a")])
    core.store.rotate("a")
    core.keys.forget("a")
    assert await core.resealing.run() == 1
    assert await with_traces(core) == [2]


async def test_a_redacted_row_cannot_hold_personal_data(core: Core) -> None:
    await core.deliveries.handle([await core.told(1, 0, ANNA)])
    with pytest.raises(asyncpg.CheckViolationError):
        async with core.database.worker() as connection:
            await connection.execute("UPDATE core.customers SET redacted_at = now() WHERE merchant_id = 'a'")


async def test_an_export_says_everything_and_leaves_sealed(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loyalnest.kit.privacy.EXPORT_PART_BYTES", 100)
    await core.deliveries.handle(
        [await core.told(1, 0, ANNA, accepts_marketing=True), await core.told(1, 0, PersonalData(email="b@b"), "b")]
    )
    await core.scores.handle([scored(1, 5, "loyal")])
    core.store.rotate("a")  # nobody here has heard of the new key
    await core.deliveries.handle([await core.told(1, 1, PersonalData(first_name="Hanna"))])
    await core.privacy.handle([asked("customer_data", 1, "a")])

    confirmed = await core.confirmed()
    assert len(confirmed) > 1
    assert {(each.kind, each.service) for each in confirmed} == {("customer_data", "core")}
    assert all(each.counts == {"customers": 1} for each in confirmed)
    keys = await core.keys.for_merchant("a")
    document = exported(keys, confirmed)
    (customer,) = document.pop("customers")
    assert document == {"service": "core", "customer_id": "1"}
    assert (customer["email"], customer["phone"]) == (ANNA.email, ANNA.phone)
    assert (customer["first_name"], customer["last_name"]) == ("Hanna", ANNA.last_name)
    assert customer["addresses"] == ANNA.addresses
    assert (customer["accepts_marketing"], customer["segment"], customer["recency"]) == (True, "loyal", 3)

    for event in await core.published():
        assert b"lanted" not in event.payload
    with pytest.raises(SealError):
        exported(await core.keys.for_merchant("b"), confirmed)
    with pytest.raises(SealError):  # a part in another's place
        keys.open(f"privacy.export:{confirmed[0].request_id}:core:1", confirmed[1].sealed)


async def test_an_export_of_nobody_is_confirmed_empty(core: Core) -> None:
    await core.deliveries.handle([await core.told(1, 0, ANNA), await core.told(2, 0, ANNA, "b")])
    await core.privacy.handle([asked("customer_redact", 1, "a")])
    await core.privacy.handle([asked("customer_data", customer_id, "a") for customer_id in (1, 2, 3)])
    found = [(each.counts, each.sealed, each.parts) for each in (await core.confirmed())[1:]]
    assert found == [({"customers": 0}, b"", 1)] * 3


async def test_without_keys_a_shop_can_be_redacted_and_nothing_exported(core: Core) -> None:
    await core.deliveries.handle([await core.told(1, 0, ANNA)])
    core.store.destroy("a")
    core.keys.forget("a")
    with pytest.raises(PreconditionFailed, match="destroyed"):
        await core.privacy.handle([asked("customer_data", 1, "a")])
    assert await core.confirmed() == []
    await core.privacy.handle([asked("shop_redact", None, "a")])
    assert await with_traces(core) == []


async def test_a_shop_that_is_killed_anywhere_is_redacted_whole(
    core: Core, core_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loyalnest.core.privacy_repository.CHUNK", 2)
    await core.deliveries.handle([await core.told(n, 0, ANNA, "b") for n in range(1, 7)])
    await core.deliveries.handle([await core.told(9, 0, ANNA)])
    await core.privacy.handle([asked("customer_redact", 9, "a")])
    shops = kills = partly = 0
    async for database in killed_before_each_statement(core.database, core_url):
        shops += 1
        core.now += timedelta(minutes=1)
        await core.deliveries.handle([await core.told(n, shops, ANNA) for n in range(1, 6)])
        request = asked("shop_redact", None, "a")
        kills += await until_death(lambda: core.privacy_on(database).handle([request]))  # noqa: B023 - run at once
        partly += 0 < len(await with_traces(core)) < 5
        await core.privacy.handle([request])
        assert await with_traces(core) == []
        assert (await core.confirmed())[-1].counts == {"customers": 5}
    assert kills == shops - 1
    assert partly > 4, "no kill fell between two chunks"
    assert len(await core.confirmed()) == 1 + shops
    assert await core.search("", "b") == [1, 2, 3, 4, 5, 6]
    async with core.database.worker() as connection:
        left = await connection.fetch("SELECT customer_id FROM core.customers WHERE merchant_id = 'a'")
    assert [row["customer_id"] for row in left] == [9], "who was redacted alone stays so"


async def test_a_shop_that_comes_back_begins_anew(core: Core) -> None:
    await core.deliveries.handle([await core.told(1, 0, ANNA)])
    await core.privacy.handle([asked("shop_redact", None, "a")])
    await core.deliveries.handle([await core.told(1, 5, ANNA)])
    assert (await core.customer(1)).email == ANNA.email
