"""Privacy requests and their confirmations on the wire."""

import msgspec
import pytest

from fixtures.privacy import ASKED_AT, asked
from loyalnest.admin_core.events import GdprRequestConfirmed, GdprRequestCreated
from loyalnest.kit.events import new_id


@pytest.mark.parametrize(
    ("kind", "customer_id"), [("customer_redact", None), ("customer_data", None), ("shop_redact", 7)]
)
def test_a_customer_is_named_just_where_one_is_meant(kind: str, customer_id: int | None) -> None:
    good = asked(kind, 7 if customer_id is None else None, "acme")
    read = msgspec.json.decode(good.payload)
    bad = msgspec.structs.replace(good, payload=msgspec.json.encode({**read, "customer_id": customer_id}))
    assert GdprRequestCreated.read(good).kind == kind
    with pytest.raises(msgspec.ValidationError, match="customer_id"):
        GdprRequestCreated.read(bad)


def test_an_unknown_kind_is_refused() -> None:
    event = asked("customer_redact", 7, "acme")
    bad = msgspec.structs.replace(event, payload=event.payload.replace(b"customer_redact", b"customer_forget"))
    with pytest.raises(msgspec.ValidationError, match="kind"):
        GdprRequestCreated.read(bad)


def test_a_confirmation_names_its_request_and_comes_back_as_it_was() -> None:
    request_id = new_id()
    request = GdprRequestCreated.read(asked("customer_data", 7, "acme", request_id))
    confirmed = request.confirmed("points", {"orders": 3}, ASKED_AT, sealed=b"\x00\xff", part=2, parts=2)
    assert (confirmed.request_id, confirmed.kind) == (request_id, "customer_data")
    assert GdprRequestConfirmed.read(confirmed.event("acme", "key")) == confirmed
