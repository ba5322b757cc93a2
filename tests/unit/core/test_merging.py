"""How reports become a customer, against a small independent model: of each field, the latest that was said."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from loyalnest.api_gateway.events import CustomerFacts, OrderFacts, PersonalData, WebhookReceived
from loyalnest.core.merging import changed_fields, merge, new_customer, personal_texts, report_of, tells_of_customer
from loyalnest.core.models import PERSONAL, Customer, Report, Source
from loyalnest.core.sealing import purpose, reseal
from loyalnest.kit.crypto.envelope import DataKey, new_key
from loyalnest.kit.crypto.keyring import MerchantKeys

T0 = datetime(2026, 1, 1, tzinfo=UTC)
KEY = DataKey(1, new_key())
KEYS = MerchantKeys("m1", KEY, {1: KEY}, new_key())


def report(
    minutes: int, personal: dict[str, str], accepts_marketing: bool | None = None, source: Source = Source.SHOPIFY
) -> Report:
    at = T0 + timedelta(minutes=minutes)
    return Report("m1", 7, source, at=at, updated_at=at, personal=personal, accepts_marketing=accepts_marketing)


def merged(reports: list[Report], keys: MerchantKeys | None = KEYS) -> Customer:
    customer = new_customer(reports[0], T0)
    for each in reports:
        merge(customer, each, keys)
    return customer


def opened(customer: Customer) -> dict[str, str]:
    return {
        name: KEYS.open(purpose(name), each.sealed).decode()
        for name, each in customer.personal.items()
        if each.sealed is not None
    }


_texts = st.dictionaries(st.sampled_from(PERSONAL), st.sampled_from(["", "1@x", "2@x", "3@x"]))
_marketing = st.sampled_from([None, True, False])
_reports = st.lists(st.tuples(_texts, _marketing), min_size=1, max_size=8).map(
    lambda told: [report(minute, texts, marketing) for minute, (texts, marketing) in enumerate(told)]
)


@given(_reports, st.randoms(use_true_random=False), st.data())
def test_any_order_and_any_repetition_end_in_what_was_said_last(
    reports: list[Report], random: Random, data: st.DataObject
) -> None:
    expected: dict[str, str] = {}
    marketing = None
    for each in reports:
        expected.update(each.personal)
        marketing = marketing if each.accepts_marketing is None else each.accepts_marketing
    again = reports + data.draw(st.lists(st.sampled_from(reports), max_size=4))
    random.shuffle(again)
    customer = merged(again)
    assert opened(customer) == {name: text for name, text in expected.items() if text}
    assert customer.accepts_marketing is marketing
    assert customer.updated_at == reports[-1].updated_at


@given(_reports)
def test_nothing_personal_is_kept_without_keys(reports: list[Report]) -> None:
    customer = merged(reports, keys=None)
    assert all(each.sealed is None and each.hash is None for each in customer.personal.values())
    assert customer.updated_at == reports[-1].updated_at


def test_a_value_said_again_is_confirmed_and_not_sealed_again() -> None:
    customer = merged([report(0, {"email": "a@x"})])
    before, sealed = customer.values(), customer.personal["email"].sealed
    merge(customer, report(5, {"email": " A@X "}), KEYS)
    assert changed_fields(before, customer.values()) == []
    assert customer.personal["email"].sealed == sealed
    merge(customer, report(3, {"email": "stale@x"}), KEYS)
    assert opened(customer) == {"email": "a@x"}


def test_changes_are_told_by_name() -> None:
    customer = merged([report(0, {"email": "a@x", "phone": "1"})])
    before = customer.values()
    merge(customer, report(1, {"email": "b@x", "phone": ""}, accepts_marketing=False), KEYS)
    assert changed_fields(before, customer.values()) == ["email", "phone", "accepts_marketing"]


def test_what_a_name_hashes_to_is_of_one_customer() -> None:
    one, other = merged([report(0, {"first_name": "Anna", "email": "a@x"})]), Customer("m1", 8, "api", T0, T0)
    merge(other, report(0, {"first_name": "Anna", "email": "a@x"}), KEYS)
    assert one.personal["first_name"].hash != other.personal["first_name"].hash
    assert one.personal["email"].hash == other.personal["email"].hash


def _order(placed: int, updated: int | None, customer_id: int | None = 7) -> WebhookReceived:
    at = None if updated is None else T0 + timedelta(minutes=updated)
    placed_at = T0 + timedelta(minutes=placed)
    order = OrderFacts(
        order_id=1, customer_id=customer_id, base=Decimal(1), paid=True, placed_at=placed_at, updated_at=at
    )
    return WebhookReceived(delivery_id="d", shopify_topic="orders/updated", order=order)


def test_an_order_speaks_of_its_placement_and_not_of_its_last_change() -> None:
    order = report_of("m1", _order(0, 60), PersonalData(email="old@x", phone="1"), T0)
    assert order is not None
    customer = merged([report(30, {"email": "new@x"}), order])
    assert opened(customer) == {"email": "new@x", "phone": "1"}
    assert customer.updated_at == T0 + timedelta(minutes=60)


def test_at_one_instant_the_customer_wins_over_the_order() -> None:
    facts = CustomerFacts(customer_id=7, updated_at=T0, created_at=T0)
    delivery = WebhookReceived(delivery_id="c", shopify_topic="customers/update", customer=facts)
    customer = report_of("m1", delivery, PersonalData(email="own@x"), T0)
    order = report_of("m1", _order(0, 0), PersonalData(email="order@x"), T0)
    assert customer is not None
    assert order is not None
    for reports in ([customer, order], [order, customer]):
        assert opened(merged(reports)) == {"email": "own@x"}
        assert merged(reports).created_at == T0


def test_a_delivery_without_a_customer_tells_nothing() -> None:
    guest = _order(0, None, customer_id=None)
    assert not tells_of_customer(guest)
    assert report_of("m1", guest, None, T0) is None
    assert report_of("m1", WebhookReceived(delivery_id="x", shopify_topic="shop/update"), None, T0) is None


def test_a_customer_without_times_is_of_when_it_was_received() -> None:
    delivery = WebhookReceived(delivery_id="c", shopify_topic="customers/create", customer=CustomerFacts(customer_id=7))
    told = report_of("m1", delivery, None, T0)
    assert told is not None
    assert told.at == T0


def test_a_phone_number_without_digits_says_nothing() -> None:
    assert personal_texts(PersonalData(phone="none", email="a@x")) == {"email": "a@x"}


def test_a_report_does_not_show_what_it_says() -> None:
    assert "planted" not in repr(report(0, {"email": "planted@x"}))


def test_resealing_moves_to_the_current_key_and_leaves_what_no_longer_opens() -> None:
    customer = merged([report(0, {"email": "a@x", "phone": "1"})])
    hashes = {name: each.hash for name, each in customer.personal.items()}
    second = DataKey(2, new_key())
    both = MerchantKeys("m1", second, {1: KEY, 2: second}, KEYS.index_key)
    assert customer.key_version == 1
    assert reseal(both, customer) == 0
    assert customer.key_version == 2
    assert {name: each.hash for name, each in customer.personal.items()} == hashes
    third = DataKey(3, new_key())
    only = MerchantKeys("m1", third, {3: third}, KEYS.index_key)
    assert reseal(only, customer) == 2
    assert customer.key_version == 2
