"""Events: what is written is read again, also by services of another version."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import ClassVar
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context as otel_context
from opentelemetry import propagate

from loyalnest.kit.consumer import DeadLetter, dead_letter_topic
from loyalnest.kit.events import Event, Payload, current_traceparent, new_id

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Earned(Payload, frozen=True, kw_only=True):
    topic: ClassVar[str] = "points.earned"

    customer_id: int
    amount: Decimal
    reason: str = ""
    at: datetime | None = None


class EarnedLater(Payload, frozen=True, kw_only=True):
    """The same topic in a later version."""

    topic: ClassVar[str] = "points.earned"

    customer_id: int
    amount: Decimal
    reason: str = ""
    at: datetime | None = None
    tier: str = "none"


@given(
    st.builds(
        Earned,
        customer_id=st.integers(-(2**63), 2**63 - 1),
        amount=st.decimals(allow_nan=False, allow_infinity=False),
        reason=st.text(st.characters(exclude_categories=["Cs"])),
        at=st.none() | st.datetimes(timezones=st.just(UTC)),
    )
)
def test_a_payload_is_read_as_it_was_written(payload: Earned) -> None:
    assert Earned.read(payload.event("acme", "1")) == payload


def test_an_event_carries_who_when_and_what() -> None:
    before = datetime.now(UTC)
    event = Earned(customer_id=2**53 + 1, amount=Decimal("0.10")).event("acme", "k")
    assert (event.topic, event.merchant_id, event.key) == ("points.earned", "acme", "k")
    assert before <= event.occurred_at <= datetime.now(UTC) < event.occurred_at + timedelta(minutes=1)
    assert b'"amount":"0.10"' in event.payload
    assert b"9007199254740993" in event.payload
    assert event.traceparent == ""
    own = uuid4()
    assert Earned(customer_id=1, amount=Decimal(1)).event("acme", "k", id=own).id == own


def test_versions_understand_each_other() -> None:
    newer = EarnedLater(customer_id=1, amount=Decimal(2), tier="Gold").event("acme", "1")
    assert Earned.read(newer) == Earned(customer_id=1, amount=Decimal(2))
    older = Earned(customer_id=1, amount=Decimal(2)).event("acme", "1")
    assert EarnedLater.read(older).tier == "none"


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b"{}", b'{"customer_id": "1", "amount": "1"}', b'{"customer_id": 1.5, "amount": "1"}']
)
def test_what_is_not_of_its_type_is_refused(payload: bytes) -> None:
    event = msgspec.structs.replace(Earned(customer_id=1, amount=Decimal(1)).event("a", "b"), payload=payload)
    with pytest.raises(msgspec.DecodeError):
        Earned.read(event)


def test_ids_ascend() -> None:
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 1000
    assert {(type(each), each.version) for each in ids} == {(UUID, 7)}


def test_the_trace_of_the_work_travels_with_its_events() -> None:
    token = otel_context.attach(propagate.extract({"traceparent": PARENT}))
    try:
        assert current_traceparent() == PARENT
        assert Earned(customer_id=1, amount=Decimal(1)).event("a", "b").traceparent == PARENT
    finally:
        otel_context.detach(token)
    assert current_traceparent() == ""


def test_a_dead_letter_keeps_the_original_whole() -> None:
    original = Event(
        id=uuid4(),
        topic="t",
        merchant_id="é",
        key="k",
        payload=bytes(range(256)),
        occurred_at=datetime(2026, 1, 2, tzinfo=UTC),
        traceparent=PARENT,
    )
    letter = DeadLetter(service="points", error="no", failed_at=datetime(2026, 1, 3, tzinfo=UTC), original=original)
    assert DeadLetter.read(letter.event("é", "k")) == letter
    assert dead_letter_topic("points") == "dead_letter.points"
