"""A fault in the operator's own code."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from fixtures.operating import World
from loyalnest.kit.discovery import discover, in_dependency_order
from loyalnest.kit.service import Service
from loyalnest_operator.cache import Cache
from loyalnest_operator.events import Recorder
from loyalnest_operator.facts import Generated
from loyalnest_operator.kinds import PROGRAM
from loyalnest_operator.obstacles import Obstacle
from loyalnest_operator.reconcile import Reconciler
from loyalnest_operator.servers import Servers
from loyalnest_operator.settings import OperatorSettings


class Faulty(Servers):
    """Servers whose code has a fault."""

    async def ensure_database(self, program: str, generated: Generated, services: Sequence[Service]) -> None:
        raise ZeroDivisionError


async def test_a_fault_is_in_the_programs_status_and_it_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in world.environment.items():
        monkeypatch.setenv(key, value)
    settings, found, cache = OperatorSettings.from_environment(), discover(), Cache()
    services = in_dependency_order(found, list(found))
    recorder = Recorder(world.cluster, "test", lambda _: "")
    name = world.name()
    cache.see_program(await world.make(name), deleted=False)

    def reconciler(backing: Servers) -> Reconciler:
        return Reconciler(settings, services, world.cluster, cache, backing, recorder, lambda: datetime.now(UTC))

    with pytest.raises(Obstacle, match="ZeroDivisionError"):
        await reconciler(Faulty(settings)).reconcile(name)
    assert (await world.conditions(name))["Degraded"]["reason"] == "OperatorFault"
    live = await world.live(PROGRAM, name, "")
    assert "ZeroDivisionError" in live["status"]["lastError"]
    await reconciler(Servers(settings)).reconcile(name)
    assert (await world.conditions(name))["Ready"]["reason"] == "Preparing"
