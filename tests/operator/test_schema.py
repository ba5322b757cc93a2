"""The LoyaltyProgram resource at a real API server: what it takes, what it refuses and how it says so."""

import json
import time
from collections.abc import Iterator
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes.client import ApiException, CustomObjectsApi

from fixtures.kubernetes import ApiServer
from loyalnest.kit.program import InvalidPrograms, LoyaltyProgram, ProgramSpec
from loyalnest.kit.program.problems import validate
from unit.kit.program.refused import REFUSED
from unit.kit.program.strategies import specs
from unit.kit.program.support import JOINING, MINIMAL, ORDER, changed, program

PROGRAMS = ("loyalnest.io", "v1alpha1", "loyaltyprograms")
EXAMPLES = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])

PYTHON_ONLY = {
    ("metadata.namespace", "x"),  # the API server takes it out
    ("spec.rfm.schedule", "0 1 30 2 *"),  # a day that no month has
    ("spec.rfm.timezone", "Mars/Base"),  # looks like a time zone
    ("spec.rfm.timezone", "Europe"),
    ("spec.rfm.timezone", "localtime"),
}
"""What only Python refuses: rules cannot look into a calendar or a list of 600 names. The operator tells."""


@pytest.fixture(scope="session")
def programs(api_server: ApiServer) -> Iterator[CustomObjectsApi]:
    with api_server.client() as client:
        yield CustomObjectsApi(client)


def tried(programs: CustomObjectsApi, document: dict[str, Any]) -> Any:
    """What the API server would store for `document`. Raises ApiException if it refuses it."""
    body = json.loads(json.dumps(document, default=float))
    return programs.create_cluster_custom_object(*PROGRAMS, body, dry_run="All", field_validation="Strict")


def words(programs: CustomObjectsApi, document: dict[str, Any]) -> str:
    """What the API server says against `document`."""
    with pytest.raises(ApiException) as caught:
        tried(programs, document)
    message: str = json.loads(caught.value.body or "")["message"]
    return message


def assert_taken_alike(programs: CustomObjectsApi, document: dict[str, Any]) -> None:
    """That the API server takes `document`, and that what it stores means what `document` means."""
    meant = validate(LoyaltyProgram, document).spec
    assert validate(ProgramSpec, tried(programs, document)["spec"]) == meant


def test_the_demo_programs_are_taken(programs: CustomObjectsApi) -> None:
    for file in sorted((Path(__file__).resolve().parents[2] / "clusters" / "demo").glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            if document["kind"] == "LoyaltyProgram":
                assert_taken_alike(programs, document)


@EXAMPLES
@given(specs())
def test_what_the_model_takes_is_taken(programs: CustomObjectsApi, spec: dict[str, Any]) -> None:
    assert_taken_alike(programs, MINIMAL | {"spec": spec})


TERMS = st.from_regex(
    r"([0-9]{1,3}|\*|L|LW|[a-zA-Z]{3}|mon|FRI|jan)(-([0-9]{1,2}|sat|DEC))?([/#][0-9]{1,2})?L?", fullmatch=True
)
CRON_FIELDS = st.lists(TERMS | st.integers(1, 7).map(str), min_size=1, max_size=3).map(",".join) | st.just("*")
PLACES: dict[str, st.SearchStrategy[Any]] = {
    "spec.rfm.schedule": st.lists(CRON_FIELDS, min_size=5, max_size=5).map("  ".join),
    "spec.rfm.timezone": st.sampled_from(["GMT+0", "America/Port-au-Prince", "America/Indiana/Knox", "EST5EDT", "GB"]),
    "spec.earning.rules.0.pointsPerUnit": st.from_regex(r"[0-9]{1,8}(\.[0-9]{1,7})?", fullmatch=True) | st.integers(),
    "spec.referrals.minimumSpend": st.from_regex(r"[0-9]{1,11}(\.[0-9]{1,4})?", fullmatch=True) | st.integers(),
    "spec.tiers": st.text(max_size=60).map(lambda name: [{"name": name, "threshold": 0}]),
    "spec.services": st.from_regex(r"[a-z][a-z0-9_]{0,45}", fullmatch=True).map(lambda name: {name: {}}),
    "spec.services.points.resources.limits.cpu": st.from_regex(r"[0-9.]{1,20}(m|Gi|k)?", fullmatch=True)
    | st.integers(),
    "spec.retention": st.builds(lambda hours: {"topicHours": hours}, st.integers(1, 9000)),
    "spec.shop.domain": st.from_regex(r"[-a-z0-9]{1,65}\.myshopify\.com", fullmatch=True),
    "metadata.name": st.from_regex(r"[-a-z0-9.]{1,54}", fullmatch=True),
    "spec.dashboard.host": st.from_regex(r"[-a-z0-9.]{1,80}", fullmatch=True) | st.none(),
}


@settings(EXAMPLES, max_examples=600)
@given(st.sampled_from(sorted(PLACES)).flatmap(lambda place: st.tuples(st.just(place), PLACES[place])))
def test_near_the_borders_nothing_is_refused_that_the_model_takes(
    programs: CustomObjectsApi, change: tuple[str, Any]
) -> None:
    document = changed(*change)
    try:
        validate(LoyaltyProgram, document)
    except InvalidPrograms:
        return  # what the model refuses, the API server may take
    assert_taken_alike(programs, document)


@pytest.mark.parametrize(
    "schedule",
    ["0 1 * * *", "*/15 8-18 1,15 JAN-mar MON-fri", "0  0 L * *", "00 05 lw/2 * *", "5 4 * * 5L", "0 0 * * 1#2,sun#5"],
)
def test_cron_schedules_of_every_kind_are_taken(programs: CustomObjectsApi, schedule: str) -> None:
    assert_taken_alike(programs, changed("spec.rfm.schedule", schedule))


SENDABLE = [(path, value) for path, value, _ in REFUSED if not (isinstance(value, (Decimal, int)) and value > 10**100)]
"""Without the numbers that no client could write."""


@pytest.mark.parametrize(("path", "value"), SENDABLE, ids=range(len(SENDABLE)))
def test_what_the_model_refuses_is_refused(programs: CustomObjectsApi, path: str, value: object) -> None:
    document = changed(path, value)
    if isinstance(value, str) and (path, value) in PYTHON_ONLY:
        tried(programs, document)
    else:
        assert words(programs, document)


def reward(*discounts: dict[str, Any], same: bool = False) -> list[dict[str, Any]]:
    return [
        {"name": "off" if same else f"off-{index}", "points": 1, "discount": discount}
        for index, discount in enumerate(discounts)
    ]


def tiers(*pairs: tuple[str, int]) -> list[dict[str, Any]]:
    return [{"name": name, "threshold": threshold} for name, threshold in pairs]


RATE = "spec.earning.rules.0.pointsPerUnit"
RULE = "spec.earning.rules[0]"
TOLD: list[tuple[str, object, str, str]] = [
    ("metadata.name", "a" * 53, "", "metadata.name must be at most 52 characters long"),
    ("metadata.name", "acme.example", "", "metadata.name must be small letters a-z, digits and hyphens"),
    ("metadata.name", "system", "", "loyalnest-system is the platform's namespace"),
    ("spec.shop.domain", "acme.example.com", "spec.shop.domain", "must be the shop's own domain in small letters"),
    ("spec.currency", "usd", "spec.currency", "must be an ISO 4217 code of three capital letters"),
    (
        "spec.earning.rules",
        [ORDER, {**ORDER, "name": "b"}],
        "spec.earning.rules",
        "only one rule may have each trigger",
    ),
    ("spec.earning.rules", [ORDER, {**JOINING, "name": "purchase"}], "spec.earning.rules", "names must be unique"),
    ("spec.earning.rules.0.points", 5, f"{RULE}.points", "has pointsPerUnit or points, not both"),
    (
        "spec.earning.rules.0",
        {"name": "a", "trigger": "order"},
        f"{RULE}.pointsPerUnit",
        "needs pointsPerUnit or points",
    ),
    ("spec.earning.rules.0", {"name": "a", "trigger": "customer"}, f"{RULE}.points", "is required in a customer rule"),
    ("spec.earning.rules.0", {**JOINING, "pointsPerUnit": 1}, f"{RULE}.pointsPerUnit", "is for order rules only"),
    (RATE, 0, f"{RULE}.pointsPerUnit", "must be more than 0"),
    (RATE, "0.000", f"{RULE}.pointsPerUnit", "must be more than 0"),
    (RATE, -3, f"{RULE}.pointsPerUnit", "must be more than 0"),
    (RATE, "1000000.1", f"{RULE}.pointsPerUnit", "must be at most 1000000"),
    (RATE, 1000001, f"{RULE}.pointsPerUnit", "must be at most 1000000"),
    (RATE, "1,5", f"{RULE}.pointsPerUnit", "must be a decimal number such as"),
    ("spec.redemption.rewards", reward({}), "spec.redemption.rewards[0].discount", "exactly one of amount and"),
    (
        "spec.redemption.rewards",
        reward({"amount": "1", "percentage": 5}),
        "spec.redemption.rewards[0].discount",
        "exactly one of amount and percentage",
    ),
    (
        "spec.redemption.rewards",
        reward({"percentage": 5}, {"percentage": 6}, same=True),
        "spec.redemption.rewards",
        "names must be unique",
    ),
    ("spec.tiers", tiers(("A", 5)), "spec.tiers", "the first tier's threshold must be 0"),
    ("spec.tiers", tiers(("A", 0), ("B", 9), ("C", 5)), "spec.tiers", "must be in ascending order of threshold"),
    ("spec.tiers", tiers(("A", 0), ("B", 9), ("C", 9)), "spec.tiers", "two are equal"),
    ("spec.tiers", tiers(("Gold", 0), ("GOLD", 9)), "spec.tiers", "names must be unique whatever their case"),
    ("spec.tierQualification", {"months": 12}, "spec.tierQualification", "needs tiers that customers can qualify for"),
    ("spec.rfm.schedule", "nightly", "spec.rfm.schedule", "must be a cron schedule of five fields"),
    ("spec.rfm.schedule", "61 1 * * *", "spec.rfm.schedule", "the minute (first field) must be of 0 to 59"),
    ("spec.rfm.schedule", "*/0 1 * * *", "spec.rfm.schedule", "the minute (first field)"),
    ("spec.rfm.schedule", "0 24 * * *", "spec.rfm.schedule", "the hour (second field) must be of 0 to 23"),
    ("spec.rfm.schedule", "0 1 1-32 * *", "spec.rfm.schedule", "the day (third field)"),
    ("spec.rfm.schedule", "0 1 * jam *", "spec.rfm.schedule", "the month (fourth field)"),
    ("spec.rfm.schedule", "0 1 * * 8", "spec.rfm.schedule", "the weekday (fifth field)"),
    ("spec.rfm.timezone", "../etc/passwd", "spec.rfm.timezone", "must be the name of a time zone"),
    ("spec.retention", {"topicHours": 800}, "spec.retention.inboxDays", "a replay would be applied twice"),
    ("spec.services", {"Points!": {}}, "spec.services", "every key must be the name of a service"),
    ("spec.services", {"a" * 41: {}}, "spec.services", "of at most 40 characters"),
    ("spec.services", {"a": {"replicas": {"min": 5}}}, "spec.services[a].replicas.min", "must be at most max"),
    ("spec.services.a.resources.limits.cpu", -1, "spec.services[a].resources.limits.cpu", "must be a quantity such as"),
]


@pytest.mark.parametrize(("path", "value", "place", "reason"), TOLD, ids=range(len(TOLD)))
def test_a_refusal_names_the_place_and_the_reason(
    programs: CustomObjectsApi, path: str, value: object, place: str, reason: str
) -> None:
    message = words(programs, changed(path, value))
    assert f"{place}: Invalid value" in message
    assert reason in message
    assert "no such key" not in message
    with pytest.raises(InvalidPrograms):
        program(path, value)


@pytest.fixture
def stored(programs: CustomObjectsApi) -> Iterator[Any]:
    """A program that is there."""
    document = deepcopy(MINIMAL)
    document["metadata"]["name"] = "stored"
    yield programs.create_cluster_custom_object(*PROGRAMS, document)
    programs.delete_cluster_custom_object(*PROGRAMS, "stored")


def test_the_shop_cannot_be_changed(programs: CustomObjectsApi, stored: dict[str, Any]) -> None:
    stored["spec"]["suspend"] = True
    document: Any = programs.replace_cluster_custom_object(*PROGRAMS, "stored", stored)
    document["spec"]["shop"]["domain"] = "other.myshopify.com"
    with pytest.raises(ApiException, match="cannot be changed: a program belongs to one shop"):
        programs.replace_cluster_custom_object(*PROGRAMS, "stored", document)


@pytest.mark.usefixtures("stored")
def test_the_status_is_apart_from_the_spec_and_is_shown(api_server: ApiServer, programs: CustomObjectsApi) -> None:
    ready = {
        "type": "Ready",
        "status": "True",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "reason": "AllReady",
        "message": "Everything is served.",
    }
    status = {"version": "0.1.0", "ordersPerHour": 7, "conditions": [ready], "observedGeneration": 1}
    patch = {"spec": {"suspend": True}, "status": status}
    found: Any = programs.patch_cluster_custom_object_status(*PROGRAMS, "stored", patch)
    assert found["status"] == status
    assert found["spec"]["suspend"] is False
    wrong = {"status": {"conditions": [ready | {"status": "Yes"}]}}
    with pytest.raises(ApiException, match="Unsupported value"):
        programs.patch_cluster_custom_object_status(*PROGRAMS, "stored", wrong)

    table = api_server.read(
        "/apis/loyalnest.io/v1alpha1/loyaltyprograms/stored", "application/json;as=Table;g=meta.k8s.io;v=v1"
    )
    names = [column["name"].upper() for column in table["columnDefinitions"]]
    assert names == ["NAME", "TIER", "READY", "REASON", "SHOP", "VERSION", "MERCHANT ORDERS/H", "AGE"]
    cells = table["rows"][0]["cells"]
    assert cells[:7] == ["stored", "Compact", "True", "AllReady", "acme.myshopify.com", "0.1.0", 7]


def test_it_is_found_by_short_names_and_category(api_server: ApiServer) -> None:
    resources = api_server.read("/apis/loyalnest.io/v1alpha1")["resources"]
    found = next(item for item in resources if item["name"] == "loyaltyprograms")
    assert (found["singularName"], found["namespaced"]) == ("loyaltyprogram", False)
    assert set(found["shortNames"]) == {"lp", "loyalty"}
    assert found["categories"] == ["loyalnest"]


def published(api_server: ApiServer) -> Any:
    """The OpenAPI document of the group, which the API server publishes a moment after it serves the resource."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return api_server.read("/openapi/v3/apis/loyalnest.io/v1alpha1")
        except ApiException as error:
            if error.status != 404 or time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def test_every_field_is_explained(api_server: ApiServer) -> None:
    """`kubectl explain` shows what the API server publishes here."""
    schemas = published(api_server)["components"]["schemas"]
    spec = schemas["io.loyalnest.v1alpha1.LoyaltyProgram"]["properties"]["spec"]
    assert "merchant's platform" in spec["description"]
    for name, field in ProgramSpec.model_fields.items():
        assert spec["properties"][field.alias or name]["description"]
    rule = spec["properties"]["earning"]["properties"]["rules"]["items"]["properties"]["pointsPerUnit"]
    assert 'Write a fraction in quotes: "1.5".' in rule["description"]
