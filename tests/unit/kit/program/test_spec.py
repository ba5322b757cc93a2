"""The resource: its defaults, and what it refuses, where, and with which words."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from loyalnest.kit.program import InvalidPrograms, LoyaltyProgram
from unit.kit.program.support import ABSENT, JOINING, ORDER, program, refusal

DEFAULTS: dict[str, Any] = {
    "currency": "USD",
    "earning": {
        "approvalDays": 0,
        "expiryDays": None,
        "includeTestOrders": False,
        "debt": "Carry",
        "rules": [{"name": "purchase", "trigger": "order", "pointsPerUnit": "10", "points": None}],
    },
    "redemption": {"rewards": []},
    "referrals": None,
    "tiers": [],
    "rfm": {"schedule": "0 1 * * *", "timezone": "UTC"},
    "shop": {
        "domain": "acme.myshopify.com",
        "credentialsSecret": {"name": "acme-shopify", "namespace": "loyalnest-system"},
    },
    "tier": "Compact",
    "rulesManagedBy": "Dashboard",
    "services": {},
    "dashboard": {"host": None},
    "retention": {"topicHours": 168, "inboxDays": 30},
    "suspend": False,
    "deletionPolicy": "Retain",
}


def test_the_minimal_document_has_every_default() -> None:
    assert program().spec.model_dump(mode="json", by_alias=True) == DEFAULTS


def test_defaults_inside_optional_parts() -> None:
    spec = program("spec.services", {"points": {}}).spec
    assert spec.services["points"].model_dump(by_alias=True) == {
        "enabled": True,
        "replicas": {"min": 1, "max": 4},
        "resources": {"requests": {"cpu": None, "memory": None}, "limits": {"cpu": None, "memory": None}},
    }
    referrals = program("spec.referrals", {}).spec.referrals
    assert referrals is not None
    assert (referrals.referrer_points, referrals.friend_points, referrals.minimum_spend) == (0, 0, Decimal(0))
    assert program("spec.tiers", [{"name": "Bronze", "threshold": 0}]).spec.tiers[0].multiplier == 1


SPEC = "spec.earning.rules.0"
RULE = "spec.earning.rules[0]"
REFUSED: list[tuple[str, object, str]] = [
    ("apiVersion", "loyalnest.io/v1", "apiVersion: must be 'loyalnest.io/v1alpha1', found 'loyalnest.io/v1'"),
    ("metadata.name", "Acme", "metadata.name: must be small letters a-z, digits and hyphens"),
    ("metadata.name", "a" * 53, "metadata.name: must be at most 52 characters long, has 53"),
    ("metadata.name", "acme\n", "metadata.name: must be small letters"),
    ("metadata.name", "system", "metadata.name: must not be system"),
    ("metadata.name", ABSENT, "metadata.name: is required"),
    ("metadata.namespace", "x", "metadata.namespace: is not a known field"),
    ("metadata.labels", {"a": 1}, "metadata.labels.a: must be text (put it in quotes), found a number"),
    ("spec", None, "spec: must be a mapping, found nothing"),
    ("spec.shop", ABSENT, "spec.shop: is required"),
    ("spec.shop.domain", "acme.example.com", "spec.shop.domain: must be the shop's own domain in small letters"),
    ("spec.shop.domain", "Acme.myshopify.com", "spec.shop.domain: must be"),
    ("spec.shop.domain", "acme.myshopify.com.evil.com", "spec.shop.domain: must be"),
    ("spec.shop.domain", "https://acme.myshopify.com", "spec.shop.domain: must be"),
    ("spec.shop.domain", ".myshopify.com", "spec.shop.domain: must be"),
    ("spec.shop.credentialsSecret", ABSENT, "spec.shop.credentialsSecret: is required"),
    ("spec.shop.credentialsSecret.name", "A B", "spec.shop.credentialsSecret.name: must be the name of a Secret"),
    ("spec.shop.credentialsSecret.namespace", "a_b", "spec.shop.credentialsSecret.namespace: must be small letters"),
    ("spec.tier", "Huge", "spec.tier: must be 'Pooled', 'Compact' or 'Distributed', found 'Huge'"),
    (
        "spec.currency",
        "usd",
        "spec.currency: must be an ISO 4217 code of three capital letters, such as USD, found 'usd'",
    ),
    ("spec.currency", False, "spec.currency: must be text (put it in quotes), found true or false"),
    ("spec.earning", ABSENT, "spec.earning: is required"),
    ("spec.earning.approvalDays", 366, "spec.earning.approvalDays: must be at most 365, found 366"),
    ("spec.earning.approvalDays", -1, "spec.earning.approvalDays: must be at least 0, found -1"),
    ("spec.earning.approvalDays", "7", "spec.earning.approvalDays: must be a whole number, found '7'"),
    ("spec.earning.approvalDays", True, "spec.earning.approvalDays: must be a whole number, found true"),
    ("spec.earning.approvalDays", Decimal("1.5"), "spec.earning.approvalDays: must be a whole number, found 1.5"),
    ("spec.earning.expiryDays", 0, "spec.earning.expiryDays: must be at least 1, found 0"),
    ("spec.earning.expiryDays", 3651, "spec.earning.expiryDays: must be at most 3650, found 3651"),
    ("spec.earning.includeTestOrders", "yes", "spec.earning.includeTestOrders: must be true or false, found 'yes'"),
    ("spec.earning.debt", "carry", "spec.earning.debt: must be 'Carry' or 'Floor', found 'carry'"),
    ("spec.earning.approval_days", 7, "spec.earning.approval_days: is not a known field; did you mean approvalDays?"),
    ("spec.earning.rules", [], "spec.earning.rules: must have at least 1 of them, has 0"),
    ("spec.earning.rules", {}, "spec.earning.rules: must be a list, found a mapping"),
    ("spec.earning.rules", [ORDER] * 21, "spec.earning.rules: must have at most 20 entries, has 21"),
    (f"{SPEC}.name", "Big Sale", f"{RULE}.name: must be small letters"),
    (f"{SPEC}.trigger", "signup", f"{RULE}.trigger: must be 'order' or 'customer', found 'signup'"),
    (f"{SPEC}.points", 5, f"{RULE}.points: an order rule has pointsPerUnit or points, not both"),
    (f"{SPEC}.pointsPerUnit", ABSENT, f"{RULE}.pointsPerUnit: an order rule needs pointsPerUnit or points"),
    (f"{SPEC}.pointsPerunit", 1, f"{RULE}.pointsPerunit: is not a known field; did you mean pointsPerUnit?"),
    (f"{SPEC}.pointsPerUnit", 0, f"{RULE}.pointsPerUnit: must be more than 0, found 0"),
    (f"{SPEC}.pointsPerUnit", -1, f"{RULE}.pointsPerUnit: must be more than 0, found -1"),
    (f"{SPEC}.pointsPerUnit", 1_000_001, f"{RULE}.pointsPerUnit: must be at most 1000000, found 1000001"),
    (f"{SPEC}.pointsPerUnit", "0.0000001", f"{RULE}.pointsPerUnit: must have at most 6 decimals"),
    (f"{SPEC}.pointsPerUnit", "1e3", f"{RULE}.pointsPerUnit: must be a decimal number in quotes"),
    (f"{SPEC}.pointsPerUnit", "1,5", f"{RULE}.pointsPerUnit: must be a decimal number in quotes"),
    (f"{SPEC}.pointsPerUnit", "NaN", f"{RULE}.pointsPerUnit: must be a decimal number in quotes"),
    (f"{SPEC}.pointsPerUnit", "\u0661", f"{RULE}.pointsPerUnit: must be a decimal number in quotes"),
    (f"{SPEC}.pointsPerUnit", 1.1, f"{RULE}.pointsPerUnit: must be a decimal number in quotes"),
    (f"{SPEC}.pointsPerUnit", True, f"{RULE}.pointsPerUnit: must be a decimal number in quotes"),
    (f"{SPEC}.pointsPerUnit", Decimal("1E+999999"), f"{RULE}.pointsPerUnit: must be a decimal number in quotes"),
    (f"{SPEC}.pointsPerUnit", 10**5000, f"{RULE}.pointsPerUnit: must be a decimal number in quotes"),
    (SPEC, {**JOINING, "points": 0}, f"{RULE}.points: must be at least 1, found 0"),
    (SPEC, {**JOINING, "points": 10**9 + 1}, f"{RULE}.points: must be at most 1000000000, found 1000000001"),
    (SPEC, {**JOINING, "pointsPerUnit": 1}, f"{RULE}.pointsPerUnit: is for order rules only"),
    (SPEC, {"name": "joining", "trigger": "customer"}, f"{RULE}.points: is required in a customer rule"),
    (
        "spec.earning.rules",
        [JOINING, ORDER, {**ORDER, "name": "more"}],
        "spec.earning.rules[2].trigger: only one rule may have the trigger order, and rules[1] has it",
    ),
    (
        "spec.earning.rules",
        [ORDER, {**JOINING, "name": "purchase"}],
        "spec.earning.rules[1].name: must be unique, and rules[0] has the same name",
    ),
    (
        "spec.redemption.rewards",
        [{"name": "off", "points": 0, "discount": {"amount": "5.00"}}],
        "spec.redemption.rewards[0].points: must be at least 1, found 0",
    ),
    (
        "spec.redemption.rewards",
        [{"name": "off", "points": 1, "discount": {}}],
        "spec.redemption.rewards[0].discount: a discount has exactly one of amount and percentage",
    ),
    (
        "spec.redemption.rewards",
        [{"name": "off", "points": 1, "discount": {"amount": "1", "percentage": 5}}],
        "spec.redemption.rewards[0].discount: a discount has exactly one of amount and percentage",
    ),
    (
        "spec.redemption.rewards",
        [{"name": "off", "points": 1, "discount": {"percentage": 101}}],
        "spec.redemption.rewards[0].discount.percentage: must be at most 100, found 101",
    ),
    (
        "spec.redemption.rewards",
        [{"name": "off", "points": 1, "discount": {"amount": "0.00"}}],
        "spec.redemption.rewards[0].discount.amount: must be more than 0, found '0.00'",
    ),
    (
        "spec.redemption.rewards",
        [{"name": "off", "points": 1, "discount": {"percentage": 5}}] * 2,
        "spec.redemption.rewards[1].name: must be unique, and rewards[0] has the same name",
    ),
    ("spec.referrals.minimumSpend", "-1", "spec.referrals.minimumSpend: must be a decimal number in quotes"),
    ("spec.referrals.minimumSpend", Decimal("-0.5"), "spec.referrals.minimumSpend: must be at least 0"),
    ("spec.referrals.referrerPoints", -1, "spec.referrals.referrerPoints: must be at least 0, found -1"),
    (
        "spec.tiers",
        [{"name": "Bronze", "threshold": 5}],
        "spec.tiers[0].threshold: the first tier begins at 0, found 5",
    ),
    (
        "spec.tiers",
        [{"name": "A", "threshold": 0}, {"name": "B", "threshold": 9}, {"name": "C", "threshold": 9}],
        "spec.tiers[2].threshold: must be more than 9, the threshold of the tier before it, found 9",
    ),
    (
        "spec.tiers",
        [{"name": "Gold", "threshold": 0}, {"name": "GOLD", "threshold": 9}],
        "spec.tiers[1].name: must be unique, and tiers[0] has the same name",
    ),
    (
        "spec.tiers",
        [{"name": "Gold", "threshold": 0, "multiplier": "0"}],
        "spec.tiers[0].multiplier: must be more than 0, found '0'",
    ),
    ("spec.tiers", [{"name": " Gold", "threshold": 0}], "spec.tiers[0].name: must be text without spaces at its ends"),
    ("spec.rfm.schedule", "nightly", "spec.rfm.schedule: must be a cron schedule of five fields"),
    ("spec.rfm.schedule", "0 0 1 * * *", "spec.rfm.schedule: must be a cron schedule of five fields"),
    ("spec.rfm.schedule", "61 1 * * *", "spec.rfm.schedule: must be a cron schedule of minute"),
    ("spec.rfm.schedule", "0 1 30 2 *", "spec.rfm.schedule: must be a cron schedule of minute"),
    ("spec.rfm.timezone", "Mars/Base", "spec.rfm.timezone: must be the name of a time zone"),
    ("spec.rfm.timezone", "../etc/passwd", "spec.rfm.timezone: must be the name of a time zone"),
    ("spec.rfm.timezone", "Europe", "spec.rfm.timezone: must be the name of a time zone"),
    ("spec.rfm.timezone", "localtime", "spec.rfm.timezone: must be the name of a time zone"),
    ("spec.rulesManagedBy", "Me", "spec.rulesManagedBy: must be 'Dashboard' or 'Resource', found 'Me'"),
    ("spec.deletionPolicy", "Keep", "spec.deletionPolicy: must be 'Retain' or 'Delete', found 'Keep'"),
    ("spec.suspend", "no", "spec.suspend: must be true or false, found 'no'"),
    ("spec.dashboard.host", "not a host", "spec.dashboard.host: must be a host name in small letters"),
    ("spec.retention.topicHours", 0, "spec.retention.topicHours: must be at least 1, found 0"),
    ("spec.retention", {"topicHours": 800}, "spec.retention.inboxDays: 30 days are less than topicHours (800)"),
    ("spec.services", [], "spec.services: must be a mapping, found a list"),
    ("spec.services", {"Points!": {}}, "spec.services['Points!']: must be the name of a service"),
    (
        "spec.services",
        {"points": {"replica": {}}},
        "spec.services.points.replica: is not a known field; did you mean replicas?",
    ),
    (
        "spec.services",
        {"points": {"replicas": {"min": 3, "max": 2}}},
        "spec.services.points.replicas.min: must be at most max, which is 2, found 3",
    ),
    (
        "spec.services",
        {"points": {"resources": {"limits": {"memory": "lots"}}}},
        "spec.services.points.resources.limits.memory: must be a quantity such as 250m or 512Mi",
    ),
]


@pytest.mark.parametrize(("path", "value", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_wrong_is_refused_with_its_path(path: str, value: object, message: str) -> None:
    detail = refusal(path, value)
    assert detail.startswith(message)
    assert "\n" not in detail


def test_a_secret_in_the_place_of_its_name_is_not_repeated() -> None:
    for field in ("name", "namespace"):
        assert "SHPSS_1" not in refusal(f"spec.shop.credentialsSecret.{field}", "SHPSS_1")
    assert "SHPSS_1" not in refusal("spec.shop.credentialsSecret", "SHPSS_1")


def test_a_program_is_immutable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        program().spec.shop.domain = "other.myshopify.com"  # type: ignore[misc]


def test_the_schema_is_structural_but_for_null_and_describes_every_field() -> None:
    schema = LoyaltyProgram.model_json_schema(by_alias=True)
    for name, shape in {**schema["$defs"], "LoyaltyProgram": schema}.items():
        for field, value in shape.get("properties", {}).items():
            meant = schema["$defs"].get(value.get("$ref", "").removeprefix("#/$defs/"), {})
            assert value.get("description") or meant.get("description"), f"{name}.{field} has no description"
            shapes = [option for option in value.get("anyOf", []) if option != {"type": "null"}]
            assert len(shapes) <= 1, f"{name}.{field} is a union of shapes"


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.decimals(), st.text(), st.sampled_from(["order", "0 1 * * *"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3))
)
PLACES = sorted({path for path, _, _ in REFUSED} - {"spec.shop", "spec.earning"})


@given(st.sampled_from(PLACES), VALUES)
def test_whatever_stands_anywhere_is_taken_or_refused_on_one_printable_line_each(path: str, value: object) -> None:
    refused: InvalidPrograms | None = None
    try:
        program(path, value)
    except InvalidPrograms as error:
        refused = error
    if refused is not None:
        lines = refused.detail.split("\n")
        assert len(lines) == len(refused.problems)
        assert all(line.isprintable() for line in lines)
