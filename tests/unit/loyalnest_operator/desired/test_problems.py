"""What cannot be had is said in words, with the field."""

from typing import Any

import pytest

from loyalnest_operator.desired import problems
from unit.loyalnest_operator.desired.support import a_program, some_facts

OFF = {"enabled": False}


def of(services: dict[str, Any], tier: str = "Distributed") -> list[str]:
    return problems(a_program(tier=tier, services=services), some_facts())


@pytest.mark.parametrize("tier", ["Compact", "Distributed"])
def test_what_nobody_needs_can_be_disabled(tier: str) -> None:
    assert of({"mail_events": OFF}, tier) == []
    assert of({"mail_events": OFF, "members": OFF}, tier) == []


def test_an_unknown_service() -> None:
    (words,) = of({"membres": {}})
    assert words == (
        "spec.services.membres: there is no such service; did you mean members?"
        " There are: identity, members, ledger, mail_events, front_door."
    )
    (words,) = of({"zzz": OFF})
    assert "no such service. There are" in words


def test_a_service_that_another_needs() -> None:
    (words,) = of({"members": OFF})
    assert words == (
        "spec.services.members.enabled: mail_events cannot run without members; disable mail_events too, or remove this"
    )


def test_the_edge_and_the_keys() -> None:
    (edge,) = of({"front_door": OFF})
    assert edge.startswith("spec.services.front_door.enabled: front_door takes the orders in")
    keys, needed = of({"identity": OFF})
    assert keys.startswith("spec.services.identity.enabled: identity keeps the keys")
    assert "members, ledger, front_door cannot run without identity" in needed


def test_a_shared_service() -> None:
    (words,) = of({"mail_events": OFF}, "Pooled")
    assert "shared" in words and "Compact or Distributed" in words
    assert of({"mail_events": {"replicas": {"min": 1, "max": 2}}}, "Pooled") == []


def test_more_than_the_limit() -> None:
    words = of({"ledger": {"resources": {"requests": {"cpu": 2, "memory": "1Gi"}, "limits": {"cpu": "1500m"}}}})
    assert words == [
        "spec.services.ledger.resources.requests.cpu: 2 is more than limits.cpu, which is 1500m; raise the limit"
    ]
    same = {"requests": {"memory": "1Gi"}, "limits": {"memory": "1024Mi"}}
    assert of({"ledger": {"resources": same}}) == []


def test_everything_is_said_at_once() -> None:
    assert len(of({"front_door": OFF, "members": OFF, "membrs": OFF})) == 3
