"""The decisions about requests, against a small model that counts on its fingers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from loyalnest.admin_core import saga
from loyalnest.admin_core.events import GdprKind, GdprRequestConfirmed
from loyalnest.admin_core.models import Confirmation, GdprRequest, Installation, Source, Status
from loyalnest.admin_core.saga import Step

T0 = datetime(2026, 5, 1, tzinfo=UTC)
SERVICES = ("core", "points", "rfm")


def request(kind: GdprKind = GdprKind.CUSTOMER_REDACT, **more: object) -> GdprRequest:
    values: dict[str, object] = {
        "merchant_id": "acme",
        "request_id": UUID(int=1),
        "kind": kind,
        "source": Source.SHOPIFY,
        "source_key": "k",
        "status": Status.SCHEDULED,
        "reason": "",
        "customer_sealed": None,
        "customer_hash": None,
        "requested_by": "shopify",
        "requested_at": T0,
        "starts_at": T0,
        "due_at": T0 + saga.TIME_TO_DO,
    }
    return GdprRequest(**values | more)  # type: ignore[arg-type]


def says(service: str = "core", part: int = 1, parts: int = 1, at: datetime = T0) -> GdprRequestConfirmed:
    return GdprRequestConfirmed(
        request_id=UUID(int=1), kind=GdprKind.CUSTOMER_DATA, service=service, counts={}, part=part, parts=parts, at=at
    )


class Saga(RuleBasedStateMachine):
    """A request under whatever comes, in whatever order; beside it, sets of what each service has said."""

    def __init__(self) -> None:
        super().__init__()
        self.now = T0
        self.request = request(starts_at=T0 + saga.GRACE)
        self.known: dict[str, Confirmation] = {}
        self.participants = set(SERVICES)
        self.heard: dict[str, set[int]] = {name: set() for name in SERVICES}
        self.parts = {name: number for number, name in enumerate(SERVICES, 1)}
        self.tellings: list[datetime] = []

    def step(self) -> Step:
        waited_for = saga.missing(self.participants, self.known.values())
        return saga.next_step(self.request, waited_for, self.now)

    @rule(hours=st.integers(1, 60))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule()
    def the_job_runs(self) -> None:
        step = self.step()
        if step is Step.TELL:
            self.request = saga.told(self.request, self.now)
            self.tellings.append(self.now)
        elif step is Step.COMPLETE:
            self.request = saga.ended(self.request, Status.COMPLETED, self.now)

    @precondition(lambda self: self.tellings)
    @rule(service=st.sampled_from(SERVICES), part=st.integers(1, 3))
    def a_service_answers(self, service: str, part: int) -> None:
        part = min(part, self.parts[service])
        self.known[service] = saga.confirmed(
            self.known.get(service), says(service, part, self.parts[service], self.tellings[0])
        )
        self.heard[service].add(part)

    @rule(service=st.sampled_from(SERVICES))
    def a_service_is_switched_off(self, service: str) -> None:
        if len(self.participants) > 1:
            self.participants.discard(service)

    def all_said(self) -> bool:
        return all(self.heard[name] == set(range(1, self.parts[name] + 1)) for name in self.participants)

    @invariant()
    def it_is_complete_exactly_when_everybody_has_said_everything(self) -> None:
        if self.request.status is Status.OPEN:
            assert (self.step() is Step.COMPLETE) == self.all_said()
        if self.request.status is Status.COMPLETED:
            assert self.all_said()
            assert self.step() is Step.NOTHING

    @invariant()
    def nobody_is_told_early_or_too_often(self) -> None:
        assert all(at >= self.request.starts_at for at in self.tellings)
        pauses = [later - earlier for earlier, later in zip(self.tellings, self.tellings[1:], strict=False)]
        assert all(pause >= saga.TELL_AGAIN for pause in pauses)
        assert self.request.tellings == len(self.tellings)

    @invariant()
    def nobody_is_forgotten(self) -> None:
        if self.request.status is Status.SCHEDULED:
            assert (self.step() is Step.TELL) == (self.now >= T0 + saga.GRACE)
        if self.request.status is Status.OPEN and not self.all_said():
            assert (self.step() is Step.TELL) == (self.now >= self.tellings[-1] + timedelta(hours=6))


TestSaga = Saga.TestCase


@given(st.permutations([1, 1, 2, 3, 3]))
def test_parts_come_in_any_order_and_repeatedly(order: list[int]) -> None:
    known: Confirmation | None = None
    for count, part in enumerate(order, 1):
        known = saga.confirmed(known, says(part=part, parts=3))
        assert (known.confirmed_at is not None) == (set(order[:count]) == {1, 2, 3})


def test_a_confirmation_stands_until_a_later_one() -> None:
    first = saga.confirmed(None, says())
    assert saga.confirmed(first, says(at=T0 - timedelta(days=1))) is first
    later = saga.confirmed(first, says(at=T0 + timedelta(days=1)))
    assert later.confirmed_at == T0 + timedelta(days=1)
    assert saga.missing(["core", "points"], [first]) == ["points"]


@pytest.mark.parametrize(
    ("installed", "uninstalled", "asked", "back"),
    [
        (None, None, 0, False),
        (None, -48, 0, False),
        (-100, -48, 0, False),
        (-40, -48, 0, True),
        (-100, None, 0, False),
        (-40, None, 0, True),
        (5, -48, 0, True),
    ],
)
def test_whether_a_shop_came_back(installed: int | None, uninstalled: int | None, asked: int, back: bool) -> None:
    known = Installation(*(None if each is None else T0 + timedelta(hours=each) for each in (installed, uninstalled)))
    assert saga.reinstalled(known, T0 + timedelta(hours=asked)) is back


def test_an_uninstallation_has_one_redaction() -> None:
    before = request(GdprKind.SHOP_REDACT, status=Status.COMPLETED, requested_at=T0 - timedelta(days=50))
    now = replace(before, status=Status.SCHEDULED, requested_at=T0)
    back = Installation(T0 - timedelta(days=20), T0)
    assert saga.covers([now, before], back) is now
    assert saga.covers([before], back) is None
    assert saga.covers([before], Installation()) is before
    for status in (Status.REFUSED, Status.CANCELLED):
        assert saga.covers([replace(now, status=status)], back) is None
    assert saga.installed(back, T0 - timedelta(days=30)) is back
    assert saga.installed(back, None) is back
    assert saga.installed(back, T0).installed_at == T0
