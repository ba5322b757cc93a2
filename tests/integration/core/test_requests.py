"""Calls about customers, and the resealing after a rotation of keys."""

import pytest

from integration.core.support import ANNA, Core, at
from loyalnest.admin_core.events import AuditLog
from loyalnest.api_gateway.events import PersonalData
from loyalnest.core import core_pb2 as pb
from loyalnest.core.events import CustomerUpdated
from loyalnest.kit.crypto.envelope import sealed_version
from loyalnest.kit.errors import Forbidden, InvalidInput, NotFound, PreconditionFailed, Unauthenticated


async def test_creating_twice_makes_one_customer_and_keeps_the_first(core: Core) -> None:
    first = await core.call("CreateCustomer", pb.CreateCustomerRequest(customer_id=1, email="a@x.org"))
    again = await core.call("CreateCustomer", pb.CreateCustomerRequest(customer_id=1, email="other@x.org"))
    assert (first.created, again.created) == (True, False)
    assert again.customer == first.customer
    assert (first.customer.email, first.customer.source) == ("a@x.org", "api")
    assert [each.topic for each in await core.published()] == ["customer.created", "audit_log"]


async def test_an_update_changes_what_is_set_and_erases_what_is_empty(core: Core) -> None:
    await core.deliveries.handle([await core.told(1, 0, ANNA)])
    request = pb.UpdateCustomerRequest(customer_id=1, email="", first_name="Anne", accepts_marketing=False)
    found = await core.call("UpdateCustomer", request)
    assert (found.email, found.first_name, found.last_name, found.accepts_marketing) == (
        "",
        "Anne",
        ANNA.last_name,
        False,
    )
    assert await core.search(ANNA.email or "") == []
    (updated,) = await core.published("customer.updated")
    assert CustomerUpdated.read(updated).fields == ["email", "first_name", "accepts_marketing"]
    (audit,) = await core.published("audit_log")
    said = AuditLog.read(audit)
    assert (said.actor, said.action, said.subject) == ("admin-1", "customer.updated", "customer:1")
    assert said.after == {"fields": "email,first_name,accepts_marketing"}
    await core.deliveries.handle([await core.told(1, 1, PersonalData(email="stale@x.org"))])
    assert (await core.customer(1)).email == "", "an older delivery does not bring back what was erased"


async def test_an_update_stands_against_a_delivery_from_a_clock_that_is_ahead(core: Core) -> None:
    await core.deliveries.handle([await core.told(1, 200_000, ANNA)])
    found = await core.call("UpdateCustomer", pb.UpdateCustomerRequest(customer_id=1, first_name="Anne"))
    assert found.first_name == "Anne"


async def test_an_update_that_changes_nothing_tells_nothing(core: Core) -> None:
    await core.deliveries.handle([await core.told(1, 0, ANNA)])
    told = await core.published()
    await core.call("UpdateCustomer", pb.UpdateCustomerRequest(customer_id=1, email=ANNA.email))
    assert await core.published() == told


async def test_what_is_wrong_is_refused_in_words_without_values(core: Core) -> None:
    with pytest.raises(InvalidInput, match="email must be an e-mail address"):
        await core.call("CreateCustomer", pb.CreateCustomerRequest(customer_id=1, email="planted"))
    with pytest.raises(InvalidInput, match="customer_id"):
        await core.call("CreateCustomer", pb.CreateCustomerRequest(customer_id=-1))
    with pytest.raises(InvalidInput, match="Nothing to change"):
        await core.call("UpdateCustomer", pb.UpdateCustomerRequest(customer_id=1))
    with pytest.raises(NotFound):
        await core.call("UpdateCustomer", pb.UpdateCustomerRequest(customer_id=1, email="a@x.org"))
    with pytest.raises(InvalidInput, match="page_token"):
        await core.call("ListCustomers", pb.ListCustomersRequest(page_token="x"))


async def test_roles(core: Core) -> None:
    await core.deliveries.handle([await core.told(1, 0, ANNA)])
    for method, request in (
        ("UpdateCustomer", pb.UpdateCustomerRequest(customer_id=1, email="a@x.org")),
        ("CreateCustomer", pb.CreateCustomerRequest(customer_id=2)),
        ("ImportCustomers", pb.ImportCustomersRequest(csv=b"customer_id\n1\n")),
        ("UpdateSettings", pb.UpdateSettingsRequest(expected_version=1, rules="{}")),
    ):
        with pytest.raises(Forbidden):
            await core.call(method, request, role="support")
    await core.call("GetCustomer", pb.GetCustomerRequest(customer_id=1), role="support")
    with pytest.raises(Forbidden):
        await core.call("GetCustomer", pb.GetCustomerRequest(customer_id=1), role="shopper")
    with pytest.raises(Unauthenticated):
        await core.call("GetCustomer", pb.GetCustomerRequest(customer_id=1), merchant="")


async def test_no_personal_data_is_taken_once_the_keys_are_destroyed(core: Core) -> None:
    core.store.destroy("a")
    with pytest.raises(PreconditionFailed, match="destroyed"):
        await core.call("CreateCustomer", pb.CreateCustomerRequest(customer_id=1, email="a@x.org"))
    with pytest.raises(PreconditionFailed, match="destroyed"):
        await core.call("ImportCustomers", pb.ImportCustomersRequest(csv=b"customer_id\n1\n"))


async def test_counts(core: Core) -> None:
    await core.deliveries.handle(
        [await core.told(1, 0, ANNA, accepts_marketing=True), await core.told(2, 0, accepts_marketing=False)]
    )
    counts = await core.call("GetCustomerCounts", pb.GetCustomerCountsRequest())
    assert (counts.customers, counts.with_email, counts.accepting_marketing, counts.to_reseal) == (2, 1, 1, 0)


async def _versions(core: Core, merchant: str) -> set[int]:
    async with core.database.request(merchant) as connection:
        rows = await connection.fetch(
            "SELECT email_sealed, phone_sealed, first_name_sealed, last_name_sealed, addresses_sealed "
            "FROM core.customers"
        )
    return {sealed_version(value) for row in rows for value in row.values() if value is not None}


async def test_a_rotation_reseals_every_row_and_search_goes_on(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loyalnest.core.jobs.BATCH", 10)
    events = [await core.told(n, 0, PersonalData(email=f"{n}@x.org", first_name="A")) for n in range(1, 36)]
    await core.deliveries.handle([*events, await core.told(1, 0, ANNA, merchant="b"), await core.told(99, 0)])
    assert await core.resealing.run() == 0
    core.store.rotate("a")
    core.keys.forget("a")
    await core.deliveries.handle([await core.told(3, 9, PersonalData(email="new@x.org"))])
    counts = await core.call("GetCustomerCounts", pb.GetCustomerCountsRequest())
    assert counts.to_reseal == 35
    told = await core.published()
    assert await core.resealing.run() == 35
    assert await _versions(core, "a") == {2}
    assert await _versions(core, "b") == {1}
    assert (await core.call("GetCustomerCounts", pb.GetCustomerCountsRequest())).to_reseal == 0
    assert await core.resealing.run() == 0
    assert await core.published() == told, "sealing anew is no change"
    core.store.rows["a"] = [row for row in core.store.rows["a"] if (row.purpose, row.version) != ("data", 1)]
    core.keys.forget("a")
    assert await core.search("17@x.org") == [17]
    assert (await core.customer(17)).email == "17@x.org"
    assert (await core.customer(3)).email == "new@x.org"


async def test_what_another_process_sealed_under_a_newer_key_is_read(core: Core) -> None:
    await core.keys.for_merchant("a")  # version 1, now cached
    core.store.rotate("a")
    other = Core(core.database._pool)
    other.store, other.keys._source, other.keys._keks = core.store, core.store, core.store.keks
    await other.deliveries.handle([await other.told(1, 0, ANNA)])
    assert (await core.customer(1)).email == ANNA.email
    assert (await core.customer(1)).updated_at == at(0).isoformat()
