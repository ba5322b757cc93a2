"""What cannot be provisioned says why and what to do, and heals by itself when the cause goes."""

import base64
from pathlib import Path
from typing import Any

import pytest

from fixtures.guarded_postgres import execute
from fixtures.kafka import KafkaBroker
from fixtures.kubelet import Kubelet, jobs_succeed
from fixtures.operating import World
from fixtures.outside import Outside
from loyalnest.kit.embedded.postgres import EmbeddedPostgres
from loyalnest_operator import names
from loyalnest_operator.kinds import JOB, NAMESPACE, SECRET
from loyalnest_operator.objects import Ref

SOON = {"LOYALNEST_OPERATOR_RETRY_SECONDS": "4"}


def encoded(text: str) -> str:
    """As `data` of a Secret has it."""
    return base64.b64encode(text.encode()).decode()


async def test_credentials_may_come_later(world: World, kubelet: Kubelet) -> None:
    name = world.name()
    await world.make(name, credentials=False)
    async with world.operator():
        told = await world.until(name, "Degraded", reason="CredentialsMissing")
        assert f"{world.system}/{name}-shopify" in told["message"]
        assert "apiKey and apiSecret" in told["message"]
        await world.make_credentials(name)
        await world.until(name, "Ready")
        assert (await world.conditions(name))["Degraded"]["status"] == "False"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"apiSecret": None}, "apiSecret is required"),
        ({"apiSecret": encoded(" hush-hush ")}, "no spaces around it"),
        ({"apiSecret": encoded("hush-hush\n")}, "no line breaks"),
        ({"apiKey": ""}, "must not be empty"),
    ],
)
async def test_wrong_credentials_are_named_and_never_shown(
    world: World, kubelet: Kubelet, wrong: dict[str, str | None], words: str
) -> None:
    name = world.name()
    await world.make(name)
    await world.cluster.patch(SECRET, f"{name}-shopify", {"data": wrong}, world.system)
    async with world.operator():
        told = await world.until(name, "Degraded", reason="CredentialsInvalid")
        assert words in told["message"]
        assert "hush" not in told["message"]
        right = {"apiKey": encoded("key"), "apiSecret": encoded("secret")}
        await world.cluster.patch(SECRET, f"{name}-shopify", {"data": right}, world.system)
        await world.until(name, "Ready")


@pytest.mark.parametrize(
    ("wrong", "right", "words"),
    [
        ({"timezone": "Europe/Atlantis"}, {"timezone": "Europe/Berlin"}, "spec.rfm.timezone: must be the name of a"),
        ({"schedule": "0 1 30 2 *"}, {"schedule": "0 1 28 2 *"}, "spec.rfm.schedule: must be a cron schedule"),
    ],
)
async def test_what_only_the_operator_can_refuse(
    world: World, kubelet: Kubelet, wrong: dict[str, str], right: dict[str, str], words: str
) -> None:
    name = world.name()
    await world.make(name, rfm=wrong)
    async with world.operator():
        told = await world.until(name, "Degraded", reason="InvalidSpec")
        assert words in told["message"]
        await world.change(name, rfm=right)
        await world.until(name, "Ready")


@pytest.mark.parametrize(
    ("services", "words"),
    [
        ({"auth": {"enabled": False}}, "auth keeps the keys"),
        ({"api_gateway": {"enabled": False}}, "takes the orders in"),
        ({"pionts": {}}, "did you mean points?"),
    ],
)
async def test_services_that_cannot_be_had(
    world: World, kubelet: Kubelet, services: dict[str, Any], words: str
) -> None:
    name = world.name()
    await world.make(name, services=services)
    async with world.operator():
        told = await world.until(name, "Degraded", reason="InvalidSpec")
        assert f"spec.services.{next(iter(services))}" in told["message"]
        assert words in told["message"]
        await world.change(name, services=None)
        await world.until(name, "Ready")


async def test_of_two_programs_with_one_shop_the_older_has_it(world: World, kubelet: Kubelet, outside: Outside) -> None:
    older, younger = world.name("older"), world.name("younger")
    await world.make(older)
    shop = world.document(older)["spec"]["shop"]
    async with world.operator():
        await world.until(older, "Ready")
        await world.make(younger, credentials=False, shop=shop)
        told = await world.until(younger, "Degraded", reason="ShopTaken")
        assert older in told["message"]
        assert shop["domain"] in told["message"]
        assert not await outside.has_database(younger)
        assert (await world.conditions(older))["Ready"]["status"] == "True"
        await world.delete(older)
        await world.until(younger, "Ready")


async def test_a_namespace_of_somebody_elses_is_left_alone_until_it_is_handed_over(
    world: World, kubelet: Kubelet
) -> None:
    name = world.name()
    namespace = names.namespace(name)
    await world.make_namespace(namespace, owner="somebody")
    before = await world.live(NAMESPACE, namespace, "")
    await world.make(name)
    async with world.operator() as operator:
        told = await world.until(name, "Degraded", reason="NamespaceTaken")
        command = f"kubectl label namespace {namespace} "
        assert command in told["message"]
        await operator.until_quiet()
        assert (await world.live(NAMESPACE, namespace, ""))["metadata"] == before["metadata"]
        assert await world.cluster.all_of(SECRET, namespace, names.PROGRAM) == []
        labels = told["message"].partition(command)[2].split()
        await world.cluster.patch(
            NAMESPACE, namespace, {"metadata": {"labels": dict(each.split("=") for each in labels)}}
        )
        await world.until(name, "Ready")
        after = (await world.live(NAMESPACE, namespace, ""))["metadata"]["labels"]
        assert after["owner"] == "somebody"
        assert after["pod-security.kubernetes.io/enforce"] == "restricted"


async def test_postgres_away_at_creation(world: World, kubelet: Kubelet, own_postgres: EmbeddedPostgres) -> None:
    name = world.name()
    own_postgres.stop()
    await world.make(name)
    async with world.operator(LOYALNEST_OPERATOR_POSTGRES_URL=own_postgres.url("postgres"), **SOON):
        told = await world.until(name, "Degraded", reason="Unavailable")
        assert "PostgreSQL" in told["message"]
        assert "cannot be reached" in told["message"]
        own_postgres.start()
        await world.until(name, "Ready")


async def test_kafka_away_at_creation(world: World, kubelet: Kubelet, server_folder: Path) -> None:
    name, broker = world.name(), KafkaBroker(server_folder / "own-kafka")
    await world.make(name)
    async with world.operator(LOYALNEST_OPERATOR_KAFKA_BROKERS=broker.brokers, **SOON):
        await world.until(name, "Degraded", reason="Unavailable")
        conditions = await world.conditions(name)
        assert (conditions["TopicsReady"]["status"], conditions["TopicsReady"]["reason"]) == ("False", "Unavailable")
        assert "Kafka" in conditions["TopicsReady"]["message"]
        try:
            broker.start()
            await world.until(name, "Ready")
        finally:
            broker.kill()


async def test_a_login_without_rights(world: World, kubelet: Kubelet, own_postgres: EmbeddedPostgres) -> None:
    name, root = world.name(), own_postgres.url("postgres")
    await execute(root, "CREATE ROLE weak LOGIN")
    await world.make(name)
    async with world.operator(LOYALNEST_OPERATOR_POSTGRES_URL=root.replace("postgres@", "weak@", 1), **SOON):
        await world.until(name, "Degraded")
        told = (await world.conditions(name))["DatabaseReady"]
        assert told["status"] == "False"
        assert "refuses the operator's login" in told["message"]
        assert "CREATEDB, CREATEROLE" in told["message"]
        await execute(root, "ALTER ROLE weak CREATEDB CREATEROLE")
        await world.until(name, "Ready")


async def test_lost_keys_are_never_made_anew(world: World, kubelet: Kubelet, outside: Outside) -> None:
    name = world.name()
    await world.make(name)
    async with world.operator(**SOON) as operator:
        await world.until(name, "Ready")
        kept = await world.live(SECRET, names.secrets(name), world.system)
        await world.cluster.delete(Ref("v1", "Secret", world.system, names.secrets(name)))
        told = await world.until(name, "Degraded", reason="KeysLost")
        assert f"{world.system}/{names.secrets(name)}" in told["message"]
        assert "backup" in told["message"]
        await operator.until_quiet()
        assert await world.cluster.get(SECRET, names.secrets(name), world.system) is None
        restored = {"metadata": {key: kept["metadata"][key] for key in ("name", "labels")}, "data": kept["data"]}
        await world.cluster.create(SECRET, restored, world.system)
        await world.until(name, "Ready")
        assert (await world.live(SECRET, names.secrets(name), world.system))["data"] == kept["data"]


async def test_a_failed_migration_says_why_and_is_tried_again(world: World, kubelet: Kubelet) -> None:
    name = world.name()

    def migrations_fail(pod: dict[str, Any]) -> tuple[int, str] | None:
        return (1, "relation orders is locked") if jobs_succeed(pod) else None

    kubelet.ending = migrations_fail
    await world.make(name)
    async with world.operator(**SOON):
        told = await world.until(name, "Degraded", reason="PreparationFailed")
        assert "relation orders is locked" in told["message"]
        assert (await world.conditions(name))["DatabaseReady"]["message"] in told["message"]
        (job,) = await world.cluster.all_of(JOB, names.namespace(name))
        kubelet.ending = jobs_succeed
        await world.until(name, "Ready")
        (again,) = await world.cluster.all_of(JOB, names.namespace(name))
        assert again["metadata"]["uid"] != job["metadata"]["uid"]
