"""From a program to ready objects, and back to what they should be."""

import pytest

from fixtures.kubelet import Kubelet
from fixtures.operating import World


@pytest.mark.parametrize("tier", ["Compact", "Distributed"])
async def test_a_program_becomes_ready_and_then_costs_no_write(world: World, kubelet: Kubelet, tier: str) -> None:
    name = world.name()
    await world.make(name, tier=tier)
    async with world.operator() as operator:
        await world.until(name, "Ready")
        conditions = await world.conditions(name)
        assert {each["status"] for key, each in conditions.items() if key.endswith("Ready")} == {"True"}
        assert conditions["Degraded"]["status"] == "False"
        before = await operator.until_quiet()
        await world.annotate(name, note="look")
        assert await operator.until_quiet() == before
        operator.kill()
        operator.start()
        await operator.until_leading()
        assert await operator.until_quiet(8.0) == 0
