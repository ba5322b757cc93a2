"""What a customer's body becomes, and what orders and customers tell about a person."""

from datetime import UTC, datetime
from typing import Any

import pytest

from loyalnest.api_gateway.events import CustomerFacts, PersonalData
from loyalnest.api_gateway.shopify_bodies import MAX_ADDRESSES, MAX_TEXT, Decoded
from unit.api_gateway.bodies import BIG_ID, order, read


class TestCustomer:
    def test_a_whole_customer(self) -> None:
        body = {
            "id": BIG_ID,
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": None,
            "email": "ana@example.com",
            "phone": "+15551234567",
            "first_name": "Ana",
            "last_name": "Núñez",
            "email_marketing_consent": {"state": "subscribed", "opt_in_level": "single_opt_in"},
            "default_address": {"id": 5, "city": "Lugo", "zip": "27001", "default": True},
            "addresses": [{"id": 5, "city": "Lugo", "zip": "27001"}, {"city": "Vigo", "address2": None}],
        }
        assert read(body, "customers/update") == Decoded(
            customer=CustomerFacts(
                customer_id=BIG_ID, created_at=datetime(2026, 1, 1, tzinfo=UTC), accepts_marketing=True
            ),
            personal=PersonalData(
                email="ana@example.com",
                phone="+15551234567",
                first_name="Ana",
                last_name="Núñez",
                addresses=[{"city": "Lugo", "zip": "27001"}, {"city": "Vigo"}],
            ),
            ordering_key=str(BIG_ID),
        )

    @pytest.mark.parametrize(
        ("body", "accepts"),
        [
            ({"email_marketing_consent": {"state": "unsubscribed"}, "accepts_marketing": True}, False),
            ({"email_marketing_consent": None, "accepts_marketing": True}, True),
            ({"email_marketing_consent": {"state": None}, "accepts_marketing": False}, False),
            ({}, None),
        ],
    )
    def test_consent(self, body: dict[str, Any], accepts: bool | None) -> None:
        found = read(body | {"id": 1}, "customers/create").customer
        assert found is not None
        assert found.accepts_marketing is accepts

    def test_nothing_personal_is_none(self) -> None:
        assert read({"id": 1, "email": "", "addresses": [{}]}, "customers/create").personal is None


class TestPersonal:
    def personal(self, **changes: Any) -> PersonalData:
        found = read(order(**changes)).personal
        assert found is not None
        return found

    def test_from_an_order(self) -> None:
        address = {"address1": "1 Rúa", "city": "Lugo", "country": "Spain", "province": None, "latitude": 43.0}
        assert self.personal(
            email="a@example.com",
            phone=None,
            customer={"id": 1, "first_name": "Ana", "last_name": " Núñez ", "phone": "+34", "email": "b@example.com"},
            billing_address=address,
            shipping_address=address | {"company": "ACME", "phone": "+1"},
        ) == PersonalData(
            email="a@example.com",
            phone="+34",
            first_name="Ana",
            last_name="Núñez",
            addresses=[
                {"address1": "1 Rúa", "city": "Lugo", "country": "Spain"},
                {"company": "ACME", "address1": "1 Rúa", "city": "Lugo", "country": "Spain", "phone": "+1"},
            ],
        )

    def test_the_email_is_the_first_there_is(self) -> None:
        customer = {"id": 1, "email": "c@example.com"}
        assert self.personal(email="", contact_email="b@x.io", customer=customer).email == "b@x.io"
        assert self.personal(email=None, customer=customer).email == "c@example.com"

    @pytest.mark.parametrize("odd", [1, 1.5, True, [], {}, {"a": ["b"]}, ["x"], None, 10**400])
    def test_fields_of_an_odd_type_are_left_out(self, odd: object) -> None:
        body = order(email=odd, phone="+1", billing_address=odd, shipping_address={"city": odd, "zip": "1"})
        body["customer"] = {"id": 1, "first_name": odd, "last_name": "N"}
        assert self.personal(**body) == PersonalData(phone="+1", last_name="N", addresses=[{"zip": "1"}])

    def test_control_characters_are_cleaned_away(self) -> None:
        found = self.personal(email="a\u0000@example.com", customer={"id": 1, "first_name": "An\na\u0085\u0007"})
        assert found == PersonalData(email="a@example.com", first_name="An a")

    def test_joiners_of_emoji_and_scripts_stay(self) -> None:
        name = "\U0001f469\u200d\U0001f680 क्\u200dष O\u2019Neil"
        assert self.personal(customer={"id": 1, "first_name": name}).first_name == name

    def test_long_texts(self) -> None:
        customer = {"id": 1, "first_name": "é" * 1000}
        found = self.personal(email="a" * 400 + "@example.com", phone="1" * 65, customer=customer)
        assert found == PersonalData(first_name="é" * MAX_TEXT)

    def test_many_addresses(self) -> None:
        cities = [{"city": f"c{number}"} for number in range(100)]
        body = {"id": 1, "default_address": {"city": "home"}, "addresses": cities}
        found = read(body, "customers/create").personal
        assert found is not None
        assert found.addresses == [{"city": "home"}, *cities[: MAX_ADDRESSES - 1]]
