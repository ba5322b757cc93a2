"""Programs of every kind, for Hypothesis."""

from copy import deepcopy
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from unit.kit.program.support import MINIMAL


def decimals(places: int, most: int, least: int = 1) -> st.SearchStrategy[Decimal]:
    return st.integers(least, most * 10**places).map(lambda number: Decimal(number).scaleb(-places))


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """Valid specs, as a document's author would write them."""
    labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)
    points = st.integers(1, 10**9)
    order: st.SearchStrategy[dict[str, Any]] = st.one_of(
        st.fixed_dictionaries({"pointsPerUnit": decimals(6, 1_000_000).map(lambda rate: f"{rate:f}")}),
        st.fixed_dictionaries({"points": points}),
    )
    rules: list[dict[str, Any]] = draw(
        st.lists(st.sampled_from(["order", "customer"]), min_size=1, max_size=2, unique=True).map(
            lambda triggers: [{"name": f"rule-{trigger}", "trigger": trigger} for trigger in triggers]
        )
    )
    for rule in rules:
        rule.update(draw(order) if rule["trigger"] == "order" else {"points": draw(points)})
    discounts = st.one_of(
        st.fixed_dictionaries({"amount": decimals(3, 10**6).map(lambda amount: f"{amount:f}")}),
        st.fixed_dictionaries({"percentage": st.integers(1, 100)}),
    )
    rewards = draw(st.lists(st.tuples(labels, points, discounts), max_size=3, unique_by=lambda reward: reward[0]))
    thresholds = draw(st.lists(st.integers(1, 10**9), max_size=4, unique=True).map(sorted))
    spec: dict[str, Any] = deepcopy(MINIMAL["spec"])
    spec["earning"] = {
        "rules": rules,
        "approvalDays": draw(st.integers(0, 365)),
        "debt": draw(st.sampled_from(["Carry", "Floor"])),
    }
    spec["redemption"] = {"rewards": [{"name": n, "points": p, "discount": d} for n, p, d in rewards]}
    spec["tiers"] = [
        {"name": f"Stufe Ä{index}", "threshold": threshold, "multiplier": f"{draw(decimals(4, 100)):f}"}
        for index, threshold in enumerate([0, *thresholds])
    ]
    if draw(st.booleans()):
        spec["tierQualification"] = {"months": draw(st.integers(1, 60))}
    spec["rfm"] = {
        "timezone": draw(st.sampled_from(["UTC", "Europe/Berlin", "America/Argentina/Ushuaia", "Etc/GMT+5"]))
    }
    spec["tier"] = draw(st.sampled_from(["Pooled", "Compact", "Distributed"]))
    spec["services"] = draw(st.dictionaries(st.just("points"), st.just({"resources": {"requests": {"cpu": 2}}})))
    if draw(st.booleans()):
        spec["referrals"] = {"minimumSpend": f"{draw(decimals(3, 10**6, least=0)):f}"}
        spec["earning"]["expiryDays"] = draw(st.integers(1, 3650))
    return spec
