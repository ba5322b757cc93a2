"""Quantities as the API server writes them, and what a container gets of what was asked for."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from loyalnest.kit.program.spec import ResourceAmounts, Resources
from loyalnest_operator.desired.resources import canonical, fitted, number, raised, total
from loyalnest_operator.settings import OperatorSettings

DEFAULT = Resources(requests=ResourceAmounts(cpu="100m", memory="192Mi"), limits=ResourceAmounts(memory="512Mi"))

quantities = st.builds(
    "{}{}{}".format,
    st.integers(0, 10**12),
    st.sampled_from(["", ".5", ".25", ".001", ".0001"]),
    st.sampled_from(["", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"]),
)


def asked(*, cpu: str | None = None, memory: str | None = None, **limits: str) -> Resources:
    return Resources(requests=ResourceAmounts(cpu=cpu, memory=memory), limits=ResourceAmounts(**limits))


@pytest.mark.parametrize(
    ("written", "given_back"),
    [  # an API server of Kubernetes 1.34 gave each of the second back as it is
        ("0", "0"),
        ("0.5", "500m"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("2000", "2k"),
        ("1024", "1024"),
        ("1024k", "1024k"),
        ("1000M", "1G"),
        ("1024Mi", "1Gi"),
        ("1536Mi", "1536Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.25Gi", "256Mi"),
        ("0.5Ki", "512"),
        ("312.5Ki", "320k"),
        ("0.1Gi", "107374182400m"),
        ("1.25Ti", "1280Gi"),
        ("0.0000000001", "1m"),
        ("99999999999999999999", "9223372036854775807"),
    ],
)
def test_quantities(written: str, given_back: str) -> None:
    assert canonical(written) == given_back


@given(quantities)
def test_a_quantity_keeps_its_amount_and_its_text(quantity: str) -> None:
    once = canonical(quantity)
    assert number(once) == number(quantity)
    assert canonical(once) == once


@given(quantities, quantities)
def test_amounts_compare_whatever_their_units(one: str, other: str) -> None:
    assert (number(one) <= number(other)) == (number(canonical(one)) <= number(canonical(other)))


def test_what_is_not_asked_for_is_the_default() -> None:
    usual = {"requests": {"cpu": "100m", "memory": "192Mi"}, "limits": {"memory": "512Mi"}}
    assert fitted(Resources(), DEFAULT) == usual
    assert fitted(asked(cpu="0.5"), DEFAULT)["requests"] == {"cpu": "500m", "memory": "192Mi"}


def test_a_default_gives_way_to_what_is_asked_for() -> None:
    assert fitted(asked(memory="2Gi"), DEFAULT)["limits"] == {"memory": "2Gi"}
    lower = Resources(limits=ResourceAmounts(cpu="50m", memory="64Mi"))
    assert fitted(lower, DEFAULT) == {
        "requests": {"cpu": "50m", "memory": "64Mi"},
        "limits": {"cpu": "50m", "memory": "64Mi"},
    }


amounts = st.builds(ResourceAmounts, cpu=st.none() | quantities, memory=st.none() | quantities)


@given(requests=amounts, limits=amounts, default=st.builds(Resources, requests=amounts))
def test_no_request_is_above_its_limit_unless_it_was_asked_for(
    requests: ResourceAmounts, limits: ResourceAmounts, default: Resources
) -> None:
    found = fitted(Resources(requests=requests, limits=limits), default)
    for amount, limit in found.get("limits", {}).items():
        if getattr(requests, amount) is None and amount in found.get("requests", {}):
            assert number(found["requests"][amount]) <= number(limit)


def test_a_pod_of_several_has_the_most_that_one_of_them_asks_for() -> None:
    several = [asked(cpu="0.5", memory="64Mi"), asked(memory="2Gi"), Resources(limits=ResourceAmounts(cpu="100m"))]
    found = raised(DEFAULT, several)
    assert (found.requests.cpu, found.requests.memory) == ("0.5", "2Gi")
    assert found.limits.memory == "2Gi", "a limit is never below the request"
    assert found.limits.cpu is None, "one service's limit would slow down all of them"
    assert raised(DEFAULT, []) == DEFAULT


def test_totals() -> None:
    large, small = (
        {"requests": {"cpu": cpu, "memory": memory}} for cpu, memory in (("500m", "512Mi"), ("100m", "256Mi"))
    )
    assert total([(3, large), (2, small)], "requests", "cpu") == "1700m"
    assert total([(3, large), (2, small)], "requests", "memory") == "2Gi"
    most = total([(1000, {"requests": {"cpu": "9999999999999999T"}})], "requests", "cpu")
    assert number(most) == Decimal(2**63 - 1)


def test_the_platforms_own_amounts_are_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOYALNEST_OPERATOR_SERVICE_RESOURCES", '{"requests": {"cpu": "50m"}}')
    with pytest.raises(ValidationError, match=r"must have requests\.cpu, requests\.memory and limits\.memory"):
        OperatorSettings()
    complete = '{"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}'
    monkeypatch.setenv("LOYALNEST_OPERATOR_SERVICE_RESOURCES", complete)
    assert OperatorSettings().service_resources.limits.memory == "128Mi"
