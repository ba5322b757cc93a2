"""The resource: its defaults, and what it refuses, where, and with which words."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from loyalnest.kit.program import InvalidPrograms
from unit.kit.program.refused import REFUSED
from unit.kit.program.support import program, refusal

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
    "tierQualification": None,
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
