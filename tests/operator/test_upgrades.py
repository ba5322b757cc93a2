"""A new version of the operator brings its image to the fleet in waves, and stops where it does harm."""

from collections import defaultdict
from typing import Any

import pytest

from fixtures.kubelet import Kubelet, jobs_succeed
from fixtures.operating import Operator, World, until
from loyalnest_operator import names
from loyalnest_operator.kinds import PROGRAM

OLD, NEW = "loyalnest/loyalnest:1.0.0", "loyalnest/loyalnest:2.0.0"
SETTINGS = {"LOYALNEST_OPERATOR_WAVE_PERCENTS": "[50, 100]", "LOYALNEST_OPERATOR_RETRY_SECONDS": "5"}


async def fleet(world: World, *, count: int, canaries: int = 1) -> tuple[list[str], list[str]]:
    """Programs, canaries apart; the operator has yet to be started."""
    found = [world.name("canary") for _ in range(canaries)], [world.name() for _ in range(count)]
    for each in (*found[0], *found[1]):
        await world.make(each)
    for each in found[0]:
        await world.cluster.patch(PROGRAM, each, {"metadata": {"labels": {names.CANARY: "true"}}})
    return found


async def images(world: World) -> dict[str, str]:
    """The image that each program runs."""
    found = {each["metadata"]["name"]: (each.get("status") or {}) for each in await world.cluster.all_of(PROGRAM)}
    return {name: f"loyalnest/loyalnest:{status.get('version')}" for name, status in found.items()}


async def until_all_run(world: World, image: str) -> None:
    """Wait until the whole fleet runs an image and is ready."""

    async def check() -> bool:
        return set((await images(world)).values()) == {image}

    await until(check)
    for each in await images(world):
        await world.until(each, "Ready")


async def upgrade(operator: Operator, image: str) -> None:
    """Replace the operator by one of another version, as its chart does."""
    await operator.stop()
    operator.environment["LOYALNEST_OPERATOR_IMAGE"] = image
    operator.start()


class Order:
    """A node on which Jobs of the new image succeed, but for those of `broken`; it notes who asked first."""

    def __init__(self, *broken: str) -> None:
        self.broken = set(broken)
        self.asked: dict[str, int] = defaultdict(lambda: len(self.asked))

    def __call__(self, pod: dict[str, Any]) -> tuple[int, str] | None:
        program = pod["metadata"]["labels"][names.PROGRAM]
        if pod["spec"]["containers"][0]["image"] != NEW:
            return jobs_succeed(pod)
        self.asked[program]
        if jobs_succeed(pod) is not None and program in self.broken:
            return 1, "column points is of another type"
        return jobs_succeed(pod)


async def test_a_new_image_comes_in_waves(world: World, kubelet: Kubelet) -> None:
    canaries, others = await fleet(world, count=6, canaries=2)
    async with world.operator(**SETTINGS) as operator:
        await until_all_run(world, OLD)
        await operator.until_quiet()
        order = Order()
        kubelet.ending = order
        await upgrade(operator, NEW)
        await until_all_run(world, NEW)
        assert set(list(order.asked)[: len(canaries)]) == set(canaries)
        assert set(order.asked) == {*canaries, *others}
        await operator.until_quiet()
        before = await operator.writes()
        await world.annotate(others[0], note="look")
        await operator.until_quiet()
        assert await operator.writes() == before


@pytest.mark.parametrize("way", ["mended", "rolled back"])
async def test_a_wave_that_fails_stops_the_upgrade_until_it_is_mended(world: World, kubelet: Kubelet, way: str) -> None:
    (canary,), others = await fleet(world, count=4)
    async with world.operator(**SETTINGS) as operator:
        await until_all_run(world, OLD)
        await operator.until_quiet()
        order = Order(canary)
        kubelet.ending = order
        await upgrade(operator, NEW)
        said = await world.until(canary, "Degraded", reason="PreparationFailed")
        assert "column points is of another type" in said["message"]
        for each in others:
            await until_held(world, each, canary)
            await world.until(each, "Ready")
        await operator.until_quiet()
        assert set(order.asked) == {canary}
        assert await images(world) == dict.fromkeys((canary, *others), OLD)
        if way == "mended":
            order.broken.clear()
        else:
            await upgrade(operator, OLD)
        await until_all_run(world, NEW if way == "mended" else OLD)
        for each in others:
            await world.until(each, "Progressing", "False", "AsDesired")
        await operator.until_quiet()


async def until_held(world: World, program: str, by: str) -> None:
    """Wait until a program says that the upgrade is stopped, and by whom."""

    async def check() -> bool:
        said = (await world.conditions(program)).get("Progressing", {})
        return said.get("reason") == "UpgradeHeld" and f"{by} is degraded" in said["message"]

    await until(check)


async def test_programs_that_stand_still_by_their_own_will_stop_no_upgrade(world: World, kubelet: Kubelet) -> None:
    canaries, others = await fleet(world, count=3, canaries=3)
    paused, suspended, broken = canaries
    async with world.operator(**SETTINGS) as operator:
        await until_all_run(world, OLD)
        await world.annotate(paused, paused="true")
        await world.change(suspended, suspend=True)
        secret = {"name": "nowhere", "namespace": world.system}
        live = (await world.live(PROGRAM, broken))["spec"]["shop"]
        await world.change(broken, shop=live | {"credentialsSecret": secret})
        await world.until(paused, "Ready", "False", "Paused")
        await world.until(suspended, "Ready", "False", "Suspended")
        await world.until(broken, "Ready", "False", "CredentialsMissing")
        await upgrade(operator, NEW)

        async def upgraded() -> bool:
            now = await images(world)
            return {now[each] for each in others} == {NEW}

        await until(upgraded)
        await world.annotate(paused, paused=None)
        await world.until(paused, "Ready")
        assert (await images(world))[paused] == NEW
        await operator.until_quiet()
