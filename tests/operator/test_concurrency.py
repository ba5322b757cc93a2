"""What is wrong with one program is that program's own trouble."""

from fixtures.kubelet import Kubelet
from fixtures.operating import World, until
from loyalnest_operator import names

WORKERS = 2
REASON = 'loyalnest_operator_failures_total{reason="CredentialsMissing"}'


async def test_programs_that_cannot_work_hold_up_no_other(world: World, kubelet: Kubelet) -> None:
    broken = [world.name("broken") for _ in range(2 * WORKERS)]
    taken = [world.name("taken") for _ in range(WORKERS)]
    well = [world.name("well") for _ in range(20)]
    async with world.operator(LOYALNEST_OPERATOR_WORKERS=str(WORKERS)) as operator:
        await operator.until_leading()
        for each in broken:
            await world.make(each, credentials=False)
        for each in taken:
            await world.make_namespace(names.namespace(each))
            await world.make(each)
        for each in broken:
            await world.until(each, "Degraded", reason="CredentialsMissing")
        for each in taken:
            await world.until(each, "Degraded", reason="NamespaceTaken")
        for each in well:
            await world.make(each)
        for each in well:
            await world.until(each, "Ready")
        await operator.until_quiet()
        for each in broken:
            assert (await world.conditions(each))["Ready"]["status"] == "False"
            await world.make_credentials(each)
        assert (await operator.get("/healthz")).status_code == 200


async def test_pauses_between_tries_grow(world: World) -> None:
    name = world.name()
    async with world.operator() as operator:
        await operator.until_leading()
        await world.make(name, credentials=False)

        async def tried() -> bool:
            return await operator.metric(REASON) >= 5

        await until(tried)
        failed = [line for line in operator.log().splitlines() if "reconcile.failed" in line and name in line]
        pauses = [float(line.partition('"again": ')[2].partition(",")[0].rstrip("}")) for line in failed]
        for number, pause in enumerate(pauses):
            assert 0.5 * 2**number - 0.1 <= pause <= 2**number + 0.1
        await operator.until_quiet()
        before = await operator.writes()
        tries = await operator.metric(REASON)

        async def tried_again() -> bool:
            return await operator.metric(REASON) > tries

        await until(tried_again)
        assert await operator.writes() == before  # to fail again is no news


async def test_a_database_that_is_refused_holds_up_its_own_program_only(world: World, kubelet: Kubelet) -> None:
    """One program's login has a name that is somebody else's already."""
    refused, well = world.name("refused"), [world.name("well") for _ in range(5)]
    await world.sql(f'CREATE ROLE "{names.login(refused, "app")}" LOGIN')
    async with world.operator(LOYALNEST_OPERATOR_WORKERS="1", LOYALNEST_OPERATOR_RETRY_SECONDS="2") as operator:
        await world.make(refused)
        said = await world.until(refused, "DatabaseReady", "False")
        assert names.login(refused, "app") in said["message"]
        for each in well:
            await world.make(each)
        for each in well:
            await world.until(each, "Ready")
        await world.sql(f'DROP ROLE "{names.login(refused, "app")}"')
        await world.until(refused, "Ready")
        await operator.until_quiet()
