"""What the fields of messages may be, and how values are written into them."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest

from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.rpc.fields import customer_id_of, decimal_text, time_text, uuid_of


@pytest.mark.parametrize("number", [0, -1, -(2**63)])
def test_a_customer_id_is_above_zero(number: int) -> None:
    assert customer_id_of(2**63 - 1) == 2**63 - 1
    with pytest.raises(InvalidInput, match="customer_id"):
        customer_id_of(number)


@pytest.mark.parametrize("text", ["", "7", "x" * 5000, "01a20d43-30d9-7311-bb20-5411566205f"])
def test_an_id_that_is_none_is_named_shortly(text: str) -> None:
    assert uuid_of("01a20d43-30d9-7311-bb20-5411566205f1", "session") == UUID("01a20d43-30d9-7311-bb20-5411566205f1")
    with pytest.raises(InvalidInput, match="is no session id") as told:
        uuid_of(text, "session")
    assert len(told.value.detail) < 120


def test_times_are_written_in_utc() -> None:
    there = datetime(2026, 11, 24, 1, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert time_text(there) == "2026-11-23T20:00:00+00:00"
    assert datetime.fromisoformat(time_text(there)) == there
    assert time_text(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00+00:00"
    assert time_text(None) == ""


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (0, "0"), (7, "7"), (Decimal("1E+3"), "1000"), (Decimal("0.10"), "0.10")]
)
def test_numbers_are_written_out(value: Decimal | int | None, text: str) -> None:
    assert decimal_text(value) == text
