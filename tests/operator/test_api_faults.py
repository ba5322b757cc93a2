"""The API server is restarted, cut off, silent, forgetful or busy: in the end everything is as it should be."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from fixtures.api_proxy import ApiProxy
from fixtures.kubelet import Kubelet
from fixtures.kubernetes import ControlPlane
from fixtures.operating import Object, Operator, World, until
from loyalnest_operator import names
from loyalnest_operator.kinds import DEPLOYMENT, NAMESPACE, kind_of
from loyalnest_operator.objects import Ref

CONFIG_MAP = kind_of("v1", "ConfigMap")
SOON = {"LOYALNEST_OPERATOR_RETRY_SECONDS": "3", "LOYALNEST_OPERATOR_RESYNC_SECONDS": "10"}
PATIENT = SOON | {"LOYALNEST_OPERATOR_LEASE_SECONDS": "120"}
"""With a Lease that outlives an API server's restart."""


async def all_ready(world: World, operator: Operator, *programs: str) -> None:
    """Wait until programs are ready and nothing is written any more; there are no objects beside the desired ones."""
    for each in programs:
        await world.until(each, "Ready")
    await operator.until_quiet()
    for each in programs:
        there = await world.objects(each)
        assert sum(ref.kind == "Job" for ref in there) == 1
        assert {ref.name for ref in there if ref.kind == "Deployment"} == {"loyalnest"}
        assert len(await world.cluster.all_of(DEPLOYMENT, names.namespace(each))) == 1


async def until_begun(world: World, *programs: str) -> None:
    """Wait until a program has a namespace."""

    async def check() -> bool:
        return any([await world.cluster.get(NAMESPACE, names.namespace(each)) for each in programs])

    await until(check)


async def restart(plane: ControlPlane) -> None:
    """Kill the API server and start it again."""
    await asyncio.to_thread(plane.stop_api_server, kill=True)
    await asyncio.to_thread(plane.start_api_server)


async def test_a_restart_of_the_api_server_is_outlived(own_world: World, control_plane: ControlPlane) -> None:
    programs = [own_world.name() for _ in range(4)]
    async with own_world.operator(**PATIENT) as operator:
        await operator.until_leading()
        for each in programs:
            await own_world.make(each)
        await until_begun(own_world, *programs)
        await restart(control_plane)  # in the middle
        await all_ready(own_world, operator, *programs)
        before = await operator.writes()
        await restart(control_plane)  # while nothing is to do
        ref = Ref("v1", "ConfigMap", names.namespace(programs[0]), "loyalnest")
        await own_world.cluster.delete(ref)
        await until_there(own_world, ref)
        await all_ready(own_world, operator, *programs)
        assert await operator.writes() == before + 1
        assert operator.ended is None
        assert (await operator.get("/healthz")).status_code == 200


async def until_there(world: World, ref: Ref) -> Object:
    """Wait for an object; it."""

    async def check() -> Object | None:
        return await world.cluster.get(kind_of(ref.api_version, ref.kind), ref.name, ref.namespace)

    found: Object = await until(check)
    return found


async def test_an_api_server_that_stays_away_ends_the_leader_and_the_next_goes_on(
    own_world: World, control_plane: ControlPlane
) -> None:
    programs = [own_world.name() for _ in range(3)]
    async with own_world.operator(**SOON) as operator:
        await operator.until_leading()
        for each in programs:
            await own_world.make(each)
        await until_begun(own_world, *programs)
        await asyncio.to_thread(control_plane.stop_api_server, kill=True)
        try:
            assert await operator.until_ended() not in (0, None)
        finally:
            await asyncio.to_thread(control_plane.start_api_server)
        operator.start()  # as the node would
        await all_ready(own_world, operator, *programs)


@asynccontextmanager
async def one_ready(world: World, api_proxy: ApiProxy, **environment: str) -> AsyncIterator[tuple[Operator, Ref]]:
    """An operator behind the proxy that has one program, which is ready; and its ConfigMap."""
    name = world.name()
    await world.make(name)
    async with world.operator(KUBECONFIG=str(api_proxy.kubeconfig), **environment) as operator:
        await all_ready(world, operator, name)
        yield operator, Ref("v1", "ConfigMap", names.namespace(name), "loyalnest")


@pytest.mark.parametrize("forgetful", [False, True])
async def test_what_was_deleted_while_the_watches_were_cut_is_noticed(
    world: World, kubelet: Kubelet, api_proxy: ApiProxy, forgetful: bool
) -> None:
    async with one_ready(world, api_proxy, **PATIENT) as (operator, ref):
        api_proxy.refusing = True
        api_proxy.cut()
        await world.cluster.delete(ref)
        api_proxy.forgetful = forgetful
        api_proxy.refusing = False
        await until_there(world, ref)
        api_proxy.forgetful = False
        await operator.until_quiet()
        assert operator.ended is None
        assert (await operator.get("/healthz")).status_code == 200


async def test_watches_that_stand_still_are_seen_by_the_liveness_probe(
    world: World, kubelet: Kubelet, api_proxy: ApiProxy
) -> None:
    async with one_ready(world, api_proxy) as (operator, ref):
        api_proxy.freeze()

        async def stuck() -> bool:
            return (await operator.get("/healthz")).status_code == 503

        await until(stuck)
        assert (await operator.get("/healthz")).json()["problems"].keys() == {"watch"}
        assert operator.ended is None
        await world.cluster.delete(ref)
        operator.kill()  # as the node would
        operator.start()
        await until_there(world, ref)
        await operator.until_quiet()
        assert (await operator.get("/healthz")).status_code == 200


@pytest.mark.parametrize("after", [False, True], ids=["not done", "done, answer lost"])
async def test_writes_that_fail_are_made_good(world: World, kubelet: Kubelet, api_proxy: ApiProxy, after: bool) -> None:
    chance = random.Random(7)
    programs = [world.name() for _ in range(6)]
    spoilt = 0

    def spoil(request: web.Request) -> int:
        nonlocal spoilt
        if request.method == "GET" or "/leases" in request.path or chance.random() > 0.25:
            return 0
        spoilt += 1
        return chance.choice([409, 429, 500, 503])

    api_proxy.after, api_proxy.spoil = after, spoil
    for each in programs:
        await world.make(each)
    async with world.operator(KUBECONFIG=str(api_proxy.kubeconfig), **SOON) as operator:
        for each in programs:
            await world.until(each, "Ready")
        assert spoilt > 20
        api_proxy.spoil = lambda _: 0
        await all_ready(world, operator, *programs)
        before = api_proxy.writes()
        for each in programs:
            await world.annotate(each, note="look")
        await operator.until_quiet()
        assert api_proxy.writes() == before


async def test_reads_that_fail_are_made_good(world: World, kubelet: Kubelet, api_proxy: ApiProxy) -> None:
    chance, name = random.Random(7), world.name()

    def spoil(request: web.Request) -> int:
        ours = request.method == "GET" and "/leases" not in request.path and "watch" not in request.query
        return 500 if ours and (chance.random() < 0.2) else 0

    api_proxy.spoil = spoil
    await world.make(name)
    async with world.operator(KUBECONFIG=str(api_proxy.kubeconfig), **PATIENT) as operator:
        await world.until(name, "Ready")
        api_proxy.spoil = lambda _: 0
        await all_ready(world, operator, name)
        assert operator.ended is None
