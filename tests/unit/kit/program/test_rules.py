"""The rules: exact decimals, canonical JSON and its hash, and the round trip of any spec."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.program import ProgramRules, ProgramSpec
from loyalnest.kit.program.problems import validate
from unit.kit.program.strategies import specs
from unit.kit.program.support import JOINING, ORDER, program

RATE = "spec.earning.rules.0.pointsPerUnit"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (10, "10"),
        ("1.1", "1.1"),
        (Decimal("1.1"), "1.1"),
        ("1.50", "1.5"),
        ("1000000", "1000000"),
        ("0.000001", "0.000001"),
        (Decimal("1E+3"), "1000"),
    ],
)
def test_decimals_are_exact_and_have_one_form(written: object, meant: str) -> None:
    rate = program(RATE, written).spec.earning.rules[0].points_per_unit
    assert rate == Decimal(meant)
    assert str(rate) == meant


def test_rules_by_trigger() -> None:
    earning = program("spec.earning.rules", [JOINING, ORDER]).spec.earning
    assert earning.order_rule is earning.rules[1]
    assert earning.customer_rule is earning.rules[0]
    assert program().spec.earning.customer_rule is None


def test_rules_are_the_part_that_merchants_edit() -> None:
    rules = program().spec.rules
    assert type(rules) is ProgramRules
    assert json.loads(rules.to_json()) == {
        "currency": "USD",
        "earning": {
            "approvalDays": 0,
            "debt": "Carry",
            "includeTestOrders": False,
            "rules": [{"name": "purchase", "pointsPerUnit": "10", "trigger": "order"}],
        },
        "redemption": {"rewards": []},
        "rfm": {"schedule": "0 1 * * *", "timezone": "UTC"},
        "tiers": [],
    }
    assert ProgramRules.from_json(rules.to_json()) == rules


def test_equal_rules_have_equal_hashes_however_they_are_written() -> None:
    same = program(RATE, Decimal("10.00")).spec.rules
    assert same.to_json() == program().spec.rules.to_json()
    assert same.rules_hash == program("spec.suspend", True).spec.rules.rules_hash
    assert same.rules_hash != program(RATE, 11).spec.rules.rules_hash
    assert len(same.rules_hash) == 64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1: is not valid JSON"),
        ("[]", "must be a mapping, found a list"),
        ('{"currency": "EUR"}', "earning: is required"),
        ('{"currency": "EUR", "currency": "USD"}', "currency: is written twice"),
        ('{"earning": {"rules": [{"name": "a", "trigger": "order", "pointsPerUnit": NaN}]}}', "is not valid JSON: NaN"),
        ('{"a": 1e99999999999999999999}', "is not valid JSON: it has a number that is too large"),
        ("1" * 5000, "is not valid JSON: it has a number that is too large"),
        ("[" * 100_000, "is nested too deeply"),
        (b"\xff", "is not valid JSON"),
    ],
    ids=range(9),
)
def test_rules_that_are_no_rules_are_refused_with_words(text: str | bytes, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        ProgramRules.from_json(text)
    assert caught.value.detail.startswith(message)


def test_an_unquoted_number_in_json_keeps_its_digits() -> None:
    text = program().spec.rules.to_json().replace('"10"', "1.1")
    assert ProgramRules.from_json(text).earning.rules[0].points_per_unit == Decimal("1.1")


@given(specs())
def test_a_spec_survives_json(document: dict[str, Any]) -> None:
    spec = validate(ProgramSpec, document)
    again = ProgramSpec.model_validate_json(spec.model_dump_json(by_alias=True), by_alias=True, by_name=False)
    assert again == spec
    assert again.model_dump_json() == spec.model_dump_json()
    assert ProgramRules.from_json(spec.rules.to_json()) == spec.rules
    assert [f"{tier.multiplier:f}" for tier in spec.tiers] == [
        tier["multiplier"].rstrip("0").rstrip(".") for tier in document["tiers"]
    ]
