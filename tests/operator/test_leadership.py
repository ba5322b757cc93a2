"""Of several replicas one acts; another goes on when it ends, however it ends."""

import signal

from fixtures.api_proxy import ApiProxy
from fixtures.kubelet import Kubelet
from fixtures.operating import World, until
from loyalnest_operator import names
from loyalnest_operator.kinds import DEPLOYMENT, LEASE, NAMESPACE
from loyalnest_operator.leader import NAME

SOON = {"LOYALNEST_OPERATOR_RETRY_SECONDS": "3"}


async def holder(world: World) -> str:
    """Who has the lead, by the Lease."""
    lease = await world.cluster.get(LEASE, NAME, world.system)
    found: str = ((lease or {}).get("spec") or {}).get("holderIdentity") or ""
    return found


async def deployments(world: World, *programs: str) -> int:
    """How many Deployments there are of these programs."""
    found = [await world.cluster.all_of(DEPLOYMENT, names.namespace(each)) for each in programs]
    return sum(map(len, found))


async def test_of_two_replicas_one_acts_and_both_are_well(world: World, kubelet: Kubelet) -> None:
    name = world.name()
    async with world.operator() as one, world.operator() as other:

        async def led() -> bool:
            return await one.leads() or await other.leads()

        await until(led)
        leader, standby = (one, other) if await one.leads() else (other, one)
        await world.make(name)
        await world.until(name, "Ready")
        await leader.until_quiet()
        assert await leader.writes() > 0
        assert await standby.writes() == 0
        assert not await standby.leads()
        for each in (leader, standby):
            assert (await each.get("/healthz")).status_code == (await each.get("/readyz")).status_code == 200
        assert await standby.stop() == 0


async def test_another_finishes_what_a_killed_leader_began(world: World, kubelet: Kubelet) -> None:
    programs = [world.name() for _ in range(6)]
    async with world.operator(**SOON) as leader:
        await leader.until_leading()
        async with world.operator(**SOON) as standby:
            for each in programs:
                await world.make(each, tier="Distributed")

            async def begun() -> bool:
                return any([await world.cluster.get(NAMESPACE, names.namespace(each)) for each in programs])

            await until(begun)
            leader.kill()
            ready = [(await world.conditions(each)).get("Ready", {}).get("status") for each in programs]
            assert "True" not in ready
            await standby.until_leading()
            for each in programs:
                await world.until(each, "Ready")
            await standby.until_quiet()
            assert (await world.live(LEASE, NAME, world.system))["spec"]["leaseTransitions"] == 1
            count = await deployments(world, *programs)
            assert count == len(programs) * await deployments(world, programs[0])


async def test_a_leader_that_is_stopped_lets_go_at_once(world: World, kubelet: Kubelet) -> None:
    longer = {"LOYALNEST_OPERATOR_LEASE_SECONDS": "600"}  # nobody waits so long in this test
    async with world.operator(**longer) as leader:
        await leader.until_leading()
        async with world.operator(**longer) as standby:
            first = await holder(world)
            assert await leader.stop() == 0
            await standby.until_leading()
            assert await holder(world) not in ("", first)


async def test_a_leader_that_stood_still_too_long_writes_nothing_more_and_ends(
    world: World, kubelet: Kubelet, api_proxy: ApiProxy
) -> None:
    first, second = world.name(), world.name()
    async with world.operator(KUBECONFIG=str(api_proxy.kubeconfig)) as leader:
        await leader.until_leading()
        await world.make(first)
        await world.until(first, "Ready")
        await leader.until_quiet()
        async with world.operator() as standby:
            leader.signal(signal.SIGSTOP)
            try:
                await standby.until_leading()
                now = await holder(world)
                await world.make(second)  # both hear of it
                before = api_proxy.writes()
            finally:
                leader.signal(signal.SIGCONT)
            assert await leader.until_ended() not in (0, None)
            assert api_proxy.writes() == before
            assert await holder(world) == now
            await world.until(second, "Ready")
            await standby.until_quiet()
            assert "The lead was lost" in leader.log()


async def test_a_leader_without_an_answer_has_ended_before_another_leads(
    world: World, kubelet: Kubelet, api_proxy: ApiProxy
) -> None:
    name = world.name()
    async with world.operator(KUBECONFIG=str(api_proxy.kubeconfig)) as leader:
        await leader.until_leading()
        async with world.operator() as standby:
            api_proxy.silence()
            await standby.until_leading()
            assert not await leader.leads()
            assert await leader.until_ended() not in (0, None)
            await world.make(name)
            await world.until(name, "Ready")
            await standby.until_quiet()


async def test_a_lease_that_was_given_to_another_is_obeyed(world: World) -> None:
    async with world.operator() as leader:
        await leader.until_leading()
        await world.cluster.patch(LEASE, NAME, {"spec": {"holderIdentity": "somebody"}}, world.system)
        assert await leader.until_ended() not in (0, None)
        assert await holder(world) == "somebody"


async def test_a_lease_that_was_deleted_is_made_again(world: World) -> None:
    async with world.operator() as leader:
        await leader.until_leading()
        first = await holder(world)
        await world.cluster._call("DELETE", LEASE, LEASE.path(world.system, NAME))

        async def back() -> bool:
            return await holder(world) == first

        await until(back)
        assert leader.ended is None
