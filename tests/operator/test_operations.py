"""What an admin does with a program that runs: stop it, leave it alone, change its passwords, pack it otherwise."""

import asyncio
import base64

import asyncpg

from fixtures.guarded_postgres import guarded_server, session
from fixtures.kubelet import Kubelet, jobs_succeed
from fixtures.operating import Object, World, until
from fixtures.outside import Outside
from loyalnest.kit.embedded.postgres import EmbeddedPostgres
from loyalnest_operator import names
from loyalnest_operator.desired.workloads import CHECKSUM
from loyalnest_operator.kinds import DEPLOYMENT, JOB, POD, SECRET, Kind

__all__ = ["guarded_server"]

INGRESS = Kind("networking.k8s.io/v1", "Ingress", "ingresses")


async def deployments(world: World, program: str) -> dict[str, Object]:
    """A program's Deployments by name."""
    found = await world.cluster.all_of(DEPLOYMENT, names.namespace(program))
    return {each["metadata"]["name"]: each for each in found}


async def content(world: World, name: str, namespace: str) -> dict[str, str]:
    """What is in a Secret."""
    data = (await world.live(SECRET, name, namespace))["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


async def jobs(world: World, program: str) -> set[str]:
    """Names of a program's preparation Jobs."""
    return {each["metadata"]["name"] for each in await world.cluster.all_of(JOB, names.namespace(program))}


async def test_suspend_and_resume(world: World, kubelet: Kubelet, outside: Outside) -> None:
    name = world.name()
    await world.make(name, tier="Distributed")
    async with world.operator():
        await world.until(name, "Ready")
        await outside.mark(name)
        before = await deployments(world, name)
        await world.change(name, suspend=True)
        told = await world.until(name, "Ready", "False", reason="Suspended")
        assert "spec.suspend" in told["message"]
        assert {each["spec"]["replicas"] for each in (await deployments(world, name)).values()} == {0}

        async def no_pods() -> bool:
            pods = await world.cluster.all_of(POD, names.namespace(name))
            return all("batch.kubernetes.io/job-name" in each["metadata"]["labels"] for each in pods)

        await until(no_pods)
        assert await outside.is_marked(name)
        await world.change(name, suspend=False)
        await world.until(name, "Ready")
        after = await deployments(world, name)
        assert after.keys() == before.keys()
        assert min(each["status"]["readyReplicas"] for each in after.values()) >= 1
        assert await outside.is_marked(name)


async def test_a_paused_program_is_left_alone(world: World, kubelet: Kubelet) -> None:
    name = world.name()
    await world.make(name)
    async with world.operator() as operator:
        await world.until(name, "Ready")
        await world.annotate(name, paused="true")
        told = await world.until(name, "Ready", "False", reason="Paused")
        assert "loyalnest.io/paused" in told["message"]
        before = await operator.until_quiet()
        drift = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 600}}}}
        await world.cluster.patch(DEPLOYMENT, "loyalnest", drift, names.namespace(name))
        await world.change(name, suspend=True)
        # Only the status follows: it has seen the new generation, and has done nothing about it.
        assert await operator.until_quiet() <= before + 1
        live = (await deployments(world, name))["loyalnest"]
        assert (live["spec"]["replicas"], live["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]) == (1, 600)
        await world.delete(name)
        await operator.until_quiet(5.0)
        assert (await world.conditions(name))["Ready"]["reason"] == "Paused"
        assert (await deployments(world, name))["loyalnest"]["spec"]["replicas"] == 1
        await world.annotate(name, paused=None)
        await world.until_gone(name)


async def test_unpausing_puts_drift_right(world: World, kubelet: Kubelet) -> None:
    name = world.name()
    await world.make(name)
    async with world.operator():
        await world.until(name, "Ready")
        await world.annotate(name, paused="true")
        await world.until(name, "Ready", "False", reason="Paused")
        before = (await deployments(world, name))["loyalnest"]["spec"]["template"]
        drift = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 600}}}}
        await world.cluster.patch(DEPLOYMENT, "loyalnest", drift, names.namespace(name))
        await world.annotate(name, paused=None)

        async def is_right() -> bool:
            return bool((await deployments(world, name))["loyalnest"]["spec"]["template"] == before)

        await until(is_right)
        await world.until(name, "Ready")


async def lets_in(url: str) -> bool:
    """Whether the login and the password of an address are right."""
    try:
        async with session(url):
            return True
    except asyncpg.InvalidPasswordError:
        return False


async def test_passwords_are_rotated_and_keys_are_not(
    world: World, kubelet: Kubelet, guarded_server: EmbeddedPostgres
) -> None:
    name = world.name()
    namespace = names.namespace(name)
    await world.make(name)
    async with world.operator(LOYALNEST_OPERATOR_POSTGRES_URL=guarded_server.url("postgres")):
        await world.until(name, "Ready")
        logins = ("database-app", "database-owner")
        old = [(await content(world, login, namespace))["LOYALNEST_DATABASE_URL"] for login in logins]
        keys = await content(world, "encryption-keys", namespace)
        checksum = (await deployments(world, name))["loyalnest"]["spec"]["template"]["metadata"]["annotations"]
        assert [await lets_in(url) for url in old] == [True, True]
        await world.annotate(name, rotate_passwords="2025-01")

        async def has_rolled() -> bool:
            now = (await deployments(world, name))["loyalnest"]["spec"]["template"]["metadata"]["annotations"]
            return bool(now[CHECKSUM] != checksum[CHECKSUM])

        await until(has_rolled)
        await world.until(name, "Ready")
        new = [(await content(world, login, namespace))["LOYALNEST_DATABASE_URL"] for login in logins]
        assert [await lets_in(url) for url in new] == [True, True]
        assert [await lets_in(url) for url in old] == [False, False]
        assert await content(world, "encryption-keys", namespace) == keys
        assert (await content(world, names.secrets(name), world.system))["encryption-keys"] in keys.values()


async def test_changed_credentials_are_given_to_the_services(world: World, kubelet: Kubelet) -> None:
    name = world.name()
    await world.make(name)
    async with world.operator() as operator:
        await world.until(name, "Ready")
        before, template = await jobs(world, name), (await deployments(world, name))["loyalnest"]["spec"]["template"]
        changed = {"stringData": {"apiSecret": "another", "apiSecretPrevious": "secret"}}
        await world.cluster.patch(SECRET, f"{name}-shopify", changed, world.system)

        async def is_given() -> bool:
            return "another" in (await content(world, "program", names.namespace(name)))["program.yaml"]

        async def is_prepared_anew() -> bool:
            now = await jobs(world, name)
            return len(now) == 1 and now != before

        await until(is_given)
        await until(is_prepared_anew)
        await world.until(name, "Ready")
        assert (await deployments(world, name))["loyalnest"]["spec"]["template"] == template
        quiet = await operator.until_quiet()
        await world.cluster.patch(SECRET, f"{name}-shopify", {"metadata": {"labels": {"a": "b"}}}, world.system)
        assert await operator.until_quiet(15.0) == quiet  # another version, and nothing new in it


async def test_moving_between_compact_and_distributed(world: World, kubelet: Kubelet, outside: Outside) -> None:
    name = world.name()
    await world.make(name)
    async with world.operator():
        await world.until(name, "Ready")
        await outside.mark(name)
        for tier, gateway in (("Distributed", "api-gateway"), ("Compact", "loyalnest")):
            before = await deployments(world, name)
            watching = asyncio.create_task(served_meanwhile(world, name, set(before)))
            await world.change(name, tier=tier)
            await watching
            await world.until(name, "Ready")
            after = await deployments(world, name)
            assert not set(after) & set(before)
            assert gateway in after
            assert await outside.is_marked(name)
            (ingress,) = await world.cluster.all_of(INGRESS, names.namespace(name))
            *_, path = ingress["spec"]["rules"][0]["http"]["paths"]  # what no page's path takes is the gateway's
            assert path["backend"]["service"]["name"] == gateway


async def served_meanwhile(world: World, program: str, before: set[str]) -> None:
    """Until the Deployments of before are gone: they stay, and have the Ingress, until those after them are ready."""
    while True:
        (ingress,) = await world.cluster.all_of(INGRESS, names.namespace(program))
        served = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"]
        there = await deployments(world, program)
        # Asked after the Ingress: what it names was ready then, so it is ready or about to go now.
        assert there[served]["status"].get("readyReplicas", 0) >= 1 or "deletionTimestamp" in there[served]["metadata"]
        new = [each for each in there if each not in before]
        if not before & set(there):
            assert new
            return
        if before - set(there):
            assert all(there[each]["status"].get("readyReplicas", 0) >= 1 for each in new)
        await asyncio.sleep(0.02)


async def test_a_preparation_that_is_superseded_is_stopped_before_the_next(world: World, kubelet: Kubelet) -> None:
    name = world.name()
    kubelet.ending = lambda _pod: None
    await world.make(name)
    async with world.operator():
        await world.until(name, "Progressing", reason="Preparing")
        (before,) = await jobs(world, name)
        kubelet.ending = jobs_succeed
        await world.change(name, currency="EUR")

        async def is_the_only_one() -> bool:
            found = await jobs(world, name)
            assert found <= {before} or before not in found
            return bool(found - {before})

        await until(is_the_only_one)
        await world.until(name, "Ready")
