"""The preparation Job: what it is given, and when there is a new one."""

import base64
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalnest.kit.program import Credentials, LoyaltyProgram, load_programs
from loyalnest_operator.desired import desired
from loyalnest_operator.facts import Facts, Generated
from unit.loyalnest_operator.desired.support import CREDENTIALS, LONGEST, a_program, containers, one, some_facts

TIERS = pytest.mark.parametrize("tier", ["Compact", "Distributed", "Pooled"])

titles = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1, max_size=50)
printable = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=80)


def job_name(program: LoyaltyProgram, facts: Facts | None = None) -> str:
    (job,) = desired(program, facts or some_facts()).preparation
    name: str = job["metadata"]["name"]
    return name


def written(program: LoyaltyProgram, facts: Facts) -> bytes:
    """The file that the Job's container reads."""
    name = "acme-program" if program.spec.tier == "Pooled" else "program"
    return base64.b64decode(one(desired(program, facts), "Secret", name)["data"]["program.yaml"])


@TIERS
def test_it_migrates_as_the_owner_and_provisions_as_the_application(tier: str) -> None:
    """In the pool, the pool's own chart migrates."""
    job = one(desired(a_program(tier=tier), some_facts()), "Job")
    found = {each["name"]: each for each in containers([job])}
    provision = found["provision"]
    assert provision["command"] == ["loyalnest", "provision"]
    if tier == "Pooled":
        assert found.keys() == {"provision"}
        assert provision["envFrom"] == [{"configMapRef": {"name": "pool"}}, {"secretRef": {"name": "pool"}}]
        return
    assert found["migrate"]["command"] == ["loyalnest", "migrate"]
    assert found["migrate"]["envFrom"][-1] == {"secretRef": {"name": "database-owner"}}
    assert provision["envFrom"][-1] == {"secretRef": {"name": "database-app"}}
    assert "program" not in [mount["name"] for mount in found["migrate"]["volumeMounts"]]


@TIERS
def test_what_is_written_is_read_again(tier: str, tmp_path: Path) -> None:
    program = a_program(
        tier=tier,
        suspend=True,
        currency="EUR",
        rulesManagedBy="Resource",
        retention={"topicHours": 24},
        tiers=[{"name": "Bronze", "threshold": 0}, {"name": "Gold", "threshold": 10, "multiplier": "1.25"}],
        rfm={"schedule": "30 2 * * *", "timezone": "Europe/Berlin"},
    )
    file = tmp_path / "program.yaml"
    file.write_bytes(written(program, some_facts()))
    (read,) = load_programs([file])
    assert (read.merchant_id, read.spec, read.credentials) == ("acme", program.spec, CREDENTIALS)


def test_what_is_left_to_defaults_is_not_written() -> None:
    """An older image may not know a field yet, and refuses what it does not know."""
    least, more = written(a_program(), some_facts()), written(a_program(suspend=True), some_facts())
    assert all(word not in least for word in (b"redemption", b"retention", b"tier", b"suspend", b"null"))
    assert b'"suspend": true' in more


@settings(deadline=None)
@given(title=titles, key=printable, secret=printable)
def test_any_text_is_read_again(title: str, key: str, secret: str) -> None:
    program = a_program(tiers=[{"name": title, "threshold": 0}])
    credentials = Credentials(key, secret)
    with TemporaryDirectory() as folder:
        file = Path(folder, "program.yaml")
        file.write_bytes(written(program, some_facts(credentials=credentials)))
        (read,) = load_programs([file])
    assert (read.spec, read.credentials) == (program.spec, credentials)


def test_text_that_yaml_would_take_for_something_else(tmp_path: Path) -> None:
    for number, text in enumerate(["1e3", "yes", "null", "2024-01-01", "0x10", "~", "\x85\u2028\ufeff", "'\"\\#: -"]):
        program = a_program(
            tiers=[{"name": f"a{text}a", "threshold": 0}, {"name": text.strip() or "b", "threshold": 5}]
        )
        file = tmp_path / f"{number}.yaml"
        file.write_bytes(written(program, some_facts()))
        (read,) = load_programs([file])
        assert read.spec == program.spec


@TIERS
@pytest.mark.parametrize(
    "spec",
    [
        {"earning": {"rules": [{"name": "purchase", "trigger": "order", "pointsPerUnit": "7"}]}},
        {"rulesManagedBy": "Resource"},
        {"suspend": True},
        {"shop": {"domain": "acme.myshopify.com", "credentialsSecret": {"name": "another"}}},
    ],
)
def test_what_services_read_is_a_new_job(tier: str, spec: dict[str, Any]) -> None:
    assert job_name(a_program(tier=tier, **spec)) != job_name(a_program(tier=tier))


@TIERS
def test_a_changed_secret_or_image_is_a_new_job(tier: str) -> None:
    facts = some_facts()
    names = {
        job_name(a_program(tier=tier), each)
        for each in (
            facts,
            replace(facts, credentials=replace(CREDENTIALS, api_secret="other")),
            replace(facts, credentials=replace(CREDENTIALS, access_token=None)),
            replace(facts, image="registry.example/loyalnest:1.2.4"),
        )
    }
    assert len(names) == 4


def test_a_changed_address_or_password_is_a_new_job() -> None:
    """One that failed for a wrong address is tried again with the right one."""
    facts = some_facts()
    rotated = Generated(facts.generated.encryption_keys, {**facts.generated.passwords, "owner": "other"})
    others = [some_facts(kafka_brokers="other:9092"), replace(facts, generated=rotated)]
    assert len({job_name(a_program(), each) for each in (facts, *others)}) == 3


@TIERS
def test_what_services_do_not_read_is_no_new_job(tier: str) -> None:
    before = job_name(a_program(tier=tier))
    assert job_name(a_program(tier=tier, deletionPolicy="Delete")) == before
    assert job_name(a_program(tier=tier, services={"ledger": {"replicas": {"min": 1, "max": 2}}})) == before
    program = a_program(tier=tier)
    metadata = program.metadata.model_copy(update={"annotations": {"loyalnest.io/paused": "true"}})
    assert job_name(program.model_copy(update={"metadata": metadata})) == before


def test_long_names_are_told_apart_in_the_pool() -> None:
    one_name, other = LONGEST, LONGEST[:-1] + "y"
    names = [job_name(a_program(name, tier="Pooled")) for name in (one_name, other)]
    assert names[0] != names[1]
    assert all(len(name) <= 63 for name in names)


def test_images_are_pulled_with_copies_of_the_secrets() -> None:
    facts = some_facts(pull_secrets={"registry": '{"auths":{}}'}, image_pull_secrets=["registry"])
    objects = desired(a_program(), facts)
    secret = one(objects, "Secret", "pull-registry")
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    assert base64.b64decode(secret["data"][".dockerconfigjson"]) == b'{"auths":{}}'
    for kind in ("Job", "Deployment"):
        assert one(objects, kind)["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "pull-registry"}]
    pooled = one(desired(a_program(tier="Pooled"), facts), "Job")
    assert pooled["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "registry"}]
