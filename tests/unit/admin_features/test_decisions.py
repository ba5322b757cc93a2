"""Who may be written what: the rule against a small model of its own, and events against their ends."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest.admin_features.decisions import reason_against
from loyalnest.admin_features.email_settings import EmailSettings
from loyalnest.admin_features.kinds import KINDS, Kind
from loyalnest.admin_features.models import Contact, Standing
from loyalnest.admin_features.notices import RECENT, TOLD, is_history, notice_of
from loyalnest.core.events import CustomerCreated
from loyalnest.points.events import PointsEarned

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SETTINGS = EmailSettings(shop_name="Acme", shop_url="https://acme.example")
AGES = st.sampled_from([timedelta(0), timedelta(days=2), RECENT, RECENT + timedelta(seconds=1), timedelta(days=40)])


@given(
    kind=st.sampled_from(list(Kind)),
    known=st.booleans(),
    accepts=st.sampled_from([True, False, None]),
    joined=st.one_of(st.none(), AGES),
    standing=st.builds(Standing, st.booleans(), st.booleans(), st.booleans()),
    address=st.sampled_from(["", "a@b.example"]),
    disabled=st.sets(st.sampled_from([kind.value for kind in Kind])),
    cap=st.integers(1, 5),
    sent=st.integers(0, 30),
    history=st.booleans(),
    invited=st.one_of(st.none(), AGES),
)
def test_consent_and_quiet(
    kind: Kind,
    known: bool,
    accepts: bool | None,
    joined: timedelta | None,
    standing: Standing,
    address: str,
    disabled: set[str],
    cap: int,
    sent: int,
    history: bool,
    invited: timedelta | None,
) -> None:
    contact = Contact(accepts_marketing=accepts, created_at=None if joined is None else NOW - joined)
    settings = EmailSettings(shop_name="A", shop_url="https://a.example", daily_cap=cap, disabled=tuple(disabled))
    reason = reason_against(
        kind,
        contact if known else None,
        standing,
        settings,
        address=address,
        sent_today=sent,
        history=history,
        invited_at=None if invited is None else NOW - invited,
        now=NOW,
    )
    # The model: what a person would say of it, in three questions.
    wants = not (standing.unsubscribed or standing.complained) and (
        kind not in {"joining", "badge_awarded"} or accepts is True
    )
    reachable = known and address != "" and not standing.bounced
    due = (
        kind not in disabled
        and {
            "joining": joined is not None and joined <= timedelta(days=3) and sent < cap,
            "points_earned": sent < cap,
            "points_expiring": not history and sent < cap,
            "reward_redeemed": True,
            "tier_changed": not history and sent < cap,
            "referral_completed": not history and sent < cap,
            "referral_invitation": sent < 20 and (invited is None or invited >= timedelta(days=30)),
            "badge_awarded": not history and sent < cap,
        }[kind]
    )
    assert (reason is None) == (wants and reachable and due), reason


def test_every_kind_says_what_it_is_and_why() -> None:
    assert set(KINDS) == set(Kind)
    for about in KINDS.values():
        assert about.summary
        assert about.why
        assert len(about.samples) > 1
        assert all(sample.keys() == about.variables.keys() for sample in about.samples)
    assert len(TOLD) == len(Kind)


@pytest.mark.parametrize("age", [timedelta(0), RECENT, RECENT + timedelta(seconds=1), timedelta(days=4000)])
def test_only_recent_orders_are_news(age: timedelta) -> None:
    told = PointsEarned(
        customer_id=1, points=50, reason="order", order_id=1, placed_at=NOW - age, available_at=NOW - age
    )
    recent = age <= timedelta(days=3)
    assert (notice_of(told, NOW, SETTINGS, NOW) is not None) is recent
    assert is_history(told, NOW) is not recent


@pytest.mark.parametrize(("points", "minimum", "told"), [(9, 10, False), (10, 10, True), (1, 1, True), (0, 1, False)])
def test_a_few_points_are_not_worth_a_mail(points: int, minimum: int, told: bool) -> None:
    earned = PointsEarned(
        customer_id=1, points=points, reason="order", order_id=1, placed_at=NOW, available_at=NOW + timedelta(days=1)
    )
    settings = EmailSettings(shop_name="A", shop_url="https://a.example", minimum_points=minimum)
    found = notice_of(earned, NOW, settings, NOW)
    assert (found is not None) is told
    if found is not None:
        assert (found.cause, found.facts["pending"]) == ("order:1", True)


def test_what_is_switched_off_and_who_is_redacted() -> None:
    created = CustomerCreated(customer_id=1, source="shopify", created_at=NOW)
    off = EmailSettings(shop_name="A", shop_url="https://a.example", disabled=("joining",))
    assert notice_of(created, NOW, SETTINGS, NOW) is not None
    assert notice_of(created, NOW, off, NOW) is None
    assert notice_of(CustomerCreated(customer_id=-5, source="shopify", created_at=NOW), NOW, SETTINGS, NOW) is None
