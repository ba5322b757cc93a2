"""A program is taken apart in order, and nothing is lost that was to be kept."""

import asyncio
import contextlib
import random
import time
from typing import Any

import httpx

from fixtures.kubelet import Kubelet, jobs_succeed
from fixtures.operating import PATIENCE_SECONDS, Operator, World, until
from fixtures.outside import Outside
from loyalnest.kit.embedded.postgres import EmbeddedPostgres
from loyalnest_operator import names
from loyalnest_operator.kinds import DEPLOYMENT, JOB, NAMESPACE, POD, PROGRAM, SECRET
from loyalnest_operator.objects import Ref

CLAIM = {"LOYALNEST_OPERATOR_EXPORTS_CLAIM": "exports", "LOYALNEST_OPERATOR_RETRY_SECONDS": "5"}


def exports_fail(pod: dict[str, Any]) -> tuple[int, str] | None:
    """The disk for exports is full."""
    if names.COMPONENT in pod["metadata"]["labels"] and "export-" in pod["metadata"]["name"]:
        return 1, "No space left on device"
    return jobs_succeed(pod)


async def secret_of(world: World, program: str) -> dict[str, str]:
    """What was generated for a program."""
    data: dict[str, str] = (await world.live(SECRET, names.secrets(program), world.system))["data"]
    return data


async def nothing_is_left(world: World, outside: Outside, program: str) -> None:
    """Not in the cluster, and not outside."""
    assert await world.cluster.get(NAMESPACE, names.namespace(program)) is None
    for kind in (SECRET, JOB, DEPLOYMENT, POD):
        left = await world.cluster.all_of(kind, labels=f"{names.PROGRAM}={program}")
        if kind is POD:  # pods of the export go with their Job, in the background
            left = [each for each in left if "deletionTimestamp" not in each["metadata"]]
        assert left == []
    assert not await outside.has_database(program)
    assert await outside.logins(program) == set()
    assert await outside.topics(program) == set()


async def test_retained_data_is_what_a_new_program_of_the_name_goes_on_with(
    world: World, kubelet: Kubelet, outside: Outside
) -> None:
    name = world.name()
    await world.make(name)
    async with world.operator():
        await world.until(name, "Ready")
        before, logins, topics = await secret_of(world, name), await outside.logins(name), await outside.topics(name)
        await outside.mark(name)
        await world.delete(name)
        await world.until_gone(name)
        assert await world.cluster.get(NAMESPACE, names.namespace(name)) is None
        assert await outside.is_marked(name)
        assert (await outside.logins(name), await outside.topics(name)) == (logins, topics)
        assert await secret_of(world, name) == before
        (note,) = await world.told(name, "Retained")
        assert names.database(name) in note
        assert f"{world.system}/{names.secrets(name)}" in note

        await world.make(name, credentials=False)
        await world.until(name, "Ready")
        assert await outside.is_marked(name)
        assert await secret_of(world, name) == before
        keys = await world.live(SECRET, "encryption-keys", names.namespace(name))
        assert list(keys["data"].values()) == [before["encryption-keys"]]


async def test_a_program_with_its_data_is_dropped_after_its_export(
    world: World, kubelet: Kubelet, outside: Outside
) -> None:
    name = world.name()
    await world.make(name, tier="Distributed", deletionPolicy="Delete")
    async with world.operator(**CLAIM):
        await world.until(name, "Ready")
        live = await world.live(PROGRAM, name, "")
        watching = asyncio.create_task(watch_the_order(world, outside, name))
        await world.delete(name)
        await world.until_gone(name)
        assert await watching == (True, 0)
        (note,) = await world.told(name, "Exported")
        assert f"{name}-{live['metadata']['uid']}" in note
        await nothing_is_left(world, outside, name)


async def watch_the_order(world: World, outside: Outside, program: str) -> tuple[bool, int]:
    """Whether the export was complete, and how many pods ran, when the database was first seen to be gone."""
    job = Ref("batch/v1", "Job", world.system, names.export(program))
    complete = False
    while True:
        there = await outside.has_database(program)
        running = await world.cluster.all_of(POD, names.namespace(program))
        if not there:
            return complete, len(running)
        live = await world.cluster.get(JOB, job.name, job.namespace)
        # Asked after the database was: who drops it before the export is complete is seen at the next turn.
        complete = complete or bool(live and (live.get("status") or {}).get("succeeded"))
        await asyncio.sleep(0.02)


async def test_nothing_is_dropped_when_the_export_fails(world: World, kubelet: Kubelet, outside: Outside) -> None:
    name, other = world.name(), world.name()
    kubelet.ending = exports_fail
    for each in (name, other):
        await world.make(each, deletionPolicy="Delete")
    async with world.operator(**CLAIM):
        for each in (name, other):
            await world.until(each, "Ready")
            await outside.mark(each)
            await world.delete(each)
        for each in (name, other):
            told = await world.until(each, "Degraded", reason="ExportFailed")
            assert "No space left on device" in told["message"]
            assert f"kubectl -n {world.system} delete job {names.export(each)}" in told["message"]
            assert "deletionPolicy to Retain" in told["message"]
            assert await outside.is_marked(each)
            assert await outside.topics(each)

        await world.change(other, deletionPolicy="Retain")
        await world.until_gone(other)
        assert await outside.is_marked(other)
        assert await world.cluster.get(JOB, names.export(other), world.system) is None

        kubelet.ending = jobs_succeed
        await world.cluster.delete(Ref("batch/v1", "Job", world.system, names.export(name)))
        await world.until_gone(name)
        await nothing_is_left(world, outside, name)


async def test_without_a_place_for_exports_nothing_is_dropped(world: World, kubelet: Kubelet, outside: Outside) -> None:
    name = world.name()
    await world.make(name, deletionPolicy="Delete")
    async with world.operator():
        await world.until(name, "Ready")
        await world.delete(name)
        told = await world.until(name, "Degraded", reason="NoExports")
        assert "exports.claim" in told["message"]
        assert await outside.has_database(name)
        await world.change(name, deletionPolicy="Retain")
        await world.until_gone(name)
        assert await outside.has_database(name)


async def test_nothing_is_dropped_while_a_pod_is_left(world: World, kubelet: Kubelet, outside: Outside) -> None:
    name = world.name()
    await world.make(name, deletionPolicy="Delete")
    async with world.operator(**CLAIM) as operator:
        await world.until(name, "Ready")
        kubelet.lingering = True
        await world.delete(name)
        told = await world.until(name, "Progressing", reason="Deleting")
        assert "Stopping the services" in told["message"]
        await operator.until_quiet(8.0)
        assert await world.cluster.all_of(POD, names.namespace(name))
        assert await world.cluster.get(JOB, names.export(name), world.system) is None
        assert await outside.has_database(name)
        kubelet.lingering = False
        await world.until_gone(name)
        await nothing_is_left(world, outside, name)


async def test_a_program_that_never_became_ready_goes(world: World, kubelet: Kubelet, outside: Outside) -> None:
    name = world.name()
    await world.make(name, credentials=False, deletionPolicy="Delete")
    async with world.operator():
        await world.until(name, "Degraded", reason="CredentialsMissing")
        await world.delete(name)
        await world.until_gone(name)
    await nothing_is_left(world, outside, name)
    assert await world.told(name, "Retained") == []


async def test_somebody_elses_database_is_not_dropped(world: World, kubelet: Kubelet, outside: Outside) -> None:
    name = world.name()
    await outside.create_database(name)
    await outside.mark(name)
    await world.make(name, deletionPolicy="Delete")
    async with world.operator(**CLAIM):
        await world.until(name, "Degraded", reason="KeysLost")
        await world.delete(name)
        told = await world.until(name, "Degraded", reason="NotExported")
        assert "Retain" in told["message"]
        await world.change(name, deletionPolicy="Retain")
        await world.until_gone(name)
    assert await outside.is_marked(name)


async def test_logins_go_though_an_operator_died_after_dropping_the_database(
    world: World, kubelet: Kubelet, outside: Outside
) -> None:
    name = world.name()
    await world.make(name, deletionPolicy="Delete")
    async with world.operator(**CLAIM) as operator:
        await world.until(name, "Ready")
        operator.kill()
        await world.delete(name)
        await outside.drop_database(name)
        assert await outside.logins(name)
        operator.start()
        await world.until_gone(name)
    await nothing_is_left(world, outside, name)


async def test_postgres_away_at_deletion(world: World, kubelet: Kubelet, own_postgres: EmbeddedPostgres) -> None:
    name = world.name()
    outside = Outside(own_postgres, world.environment["LOYALNEST_OPERATOR_KAFKA_BROKERS"])
    await world.make(name, deletionPolicy="Delete")
    postgres = {"LOYALNEST_OPERATOR_POSTGRES_URL": own_postgres.url("postgres")}
    async with world.operator(**CLAIM, **postgres):
        await world.until(name, "Ready")
        own_postgres.stop()
        await world.delete(name)
        told = await world.until(name, "Degraded", reason="Unavailable")
        assert "cannot be reached" in told["message"]
        own_postgres.start()
        await world.until_gone(name)
        assert not await outside.has_database(name)
        assert await outside.logins(name) == set()


async def make_pool(world: World) -> str:
    """The pool's namespace with what its chart makes there, as far as the operator reads it."""
    pool = world.name("pool")
    await world.make_namespace(pool)
    secret = {"metadata": {"name": "pool"}, "stringData": {"LOYALNEST_DATABASE_URL": "postgresql://pool@db/pool"}}
    await world.cluster.create(SECRET, secret, pool)
    return pool


async def test_a_pooled_programs_rows_stay(world: World, kubelet: Kubelet) -> None:
    name, pool = world.name(), await make_pool(world)
    await world.make(name, tier="Pooled")
    async with world.operator(LOYALNEST_OPERATOR_POOL_NAMESPACE=pool):
        await world.until(name, "Ready")
        assert await world.cluster.all_of(SECRET, pool, f"{names.PROGRAM}={name}")
        await world.delete(name)
        await world.until_gone(name)
    (note,) = await world.told(name, "Retained")
    assert "rows" in note
    for kind in (SECRET, JOB):
        assert await world.cluster.all_of(kind, pool, f"{names.PROGRAM}={name}") == []


async def test_a_pooled_programs_rows_are_exported_and_then_erased(world: World, kubelet: Kubelet) -> None:
    """Closed first, so that the export has everything; and whoever dies in between is followed by who goes on."""
    name, pool = world.name(), await make_pool(world)
    await world.make(name, tier="Pooled", deletionPolicy="Delete")
    seen: list[str] = []

    def exports_wait(pod: dict[str, Any]) -> tuple[int, str] | None:
        kind = pod["metadata"]["name"].partition("-")[0]
        if kind not in seen:
            seen.append(kind)
        return None if kind == "export" else jobs_succeed(pod)

    async with world.operator(LOYALNEST_OPERATOR_POOL_NAMESPACE=pool, **CLAIM) as operator:
        await world.until(name, "Ready")
        kubelet.ending = exports_wait
        await world.delete(name)

        async def exports() -> bool:
            return "export" in seen

        await until(exports)
        operator.kill()
        await world.end_lead()
        operator.start()
        await operator.until_leading()
        await operator.until_quiet()
        assert seen == ["close", "export"]
        kubelet.ending = jobs_succeed
        await world.until_gone(name)
    assert len(await world.told(name, "Exported")) == 1
    for kind, namespace in ((SECRET, pool), (JOB, pool), (SECRET, world.system), (JOB, world.system)):
        assert await world.cluster.all_of(kind, namespace, f"{names.PROGRAM}={name}") == []


async def test_operators_killed_at_every_step_are_followed_by_one_that_goes_on(
    world: World, kubelet: Kubelet, outside: Outside
) -> None:
    dice, kills = random.Random(20), 0
    retained, dropped = ([world.name(policy) for _ in range(3)] for policy in ("retained", "dropped"))
    for name in retained:
        await world.make(name, deletionPolicy="Retain")
    for name in dropped:
        await world.make(name, deletionPolicy="Delete")
    async with world.operator(**CLAIM) as operator:
        for name in (*retained, *dropped):
            await world.until(name, "Ready")
            await outside.mark(name)
        secrets = [await secret_of(world, name) for name in retained]
        watching = [asyncio.create_task(watch_the_order(world, outside, name)) for name in dropped]
        for name in (*retained, *dropped):
            await world.delete(name)
        while left := [name for name in (*retained, *dropped) if await world.cluster.get(PROGRAM, name)]:
            operator.kill()
            kills += 1
            await world.end_lead()
            operator.start()
            await written(world, operator, left, dice.randint(1, 3))
    assert kills > 5
    assert await asyncio.gather(*watching) == [(True, 0)] * len(dropped)
    for name in dropped:
        await nothing_is_left(world, outside, name)
    assert [await secret_of(world, name) for name in retained] == secrets
    for name in retained:
        assert await outside.is_marked(name)
        assert await world.cluster.get(NAMESPACE, names.namespace(name)) is None


async def written(world: World, operator: Operator, programs: list[str], times: int) -> None:
    """Return as soon as the operator has written so many times, or the programs are gone."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):  # it is still starting
            if await operator.writes() >= times:
                return
            if not [name for name in programs if await world.cluster.get(PROGRAM, name)]:
                return
        await asyncio.sleep(0.005)
    raise AssertionError(f"It does not go on:\n{operator.log()[-3000:]}")
