"""Two services for tests of the runtime, and what happened to them."""

import asyncio
import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from integration.kit.support import Counted, Counters, asked, counters_service
from loyalnest.kit.context import required_merchant
from loyalnest.kit.environment import Environment
from loyalnest.kit.events import Event
from loyalnest.kit.program import Program
from loyalnest.kit.runtime import Runtime
from loyalnest.kit.service import Consumer, Job, Parts, Rpc, Service
from loyalnest.kit.settings import Settings
from loyalnest.points import points_pb2
from loyalnest.points.points_pb2_grpc import (
    PointsServiceServicer,
    PointsServiceStub,
    add_PointsServiceServicer_to_server,
)

KEYS = "k1:" + base64.b64encode(bytes(32)).decode()


class Teller:
    """Stands for any servicer: answers with the merchant's length and the customer."""

    def __getattr__(self, name: str) -> Any:
        """The methods that it does not have, as the generated base class has them."""
        return getattr(PointsServiceServicer, name)

    async def GetPointsBalance(self, request: Any, _context: Any) -> Any:  # noqa: N802 - the proto's name
        return points_pb2.PointsBalance(available=len(required_merchant()), customer_id=request.customer_id)


@dataclass
class World:
    """Two services, `tellers` and `counters`, which needs it; and what happened to them."""

    folder: Path
    settings: dict[str, Any]
    happened: list[str] = field(default_factory=list)
    environments: dict[str, Environment] = field(default_factory=dict)
    counters: Counters | None = None
    fault: Exception | None = None
    before: Callable[[Sequence[Event]], Any] | None = None
    jobs: int = 0

    def services(self) -> dict[str, Service]:
        rpc = Rpc(
            "points.v1.PointsService", add_PointsServiceServicer_to_server, PointsServiceStub, points_pb2.DESCRIPTOR
        )
        tellers = Service(
            name="tellers", summary="", build=self._tellers, rpc=rpc, key_source=lambda _channel: self._no_keys
        )
        counting = counters_service(
            self.folder, build=self._counters, needs=("tellers",), produces=(Counted,), edge=True
        )
        return {"counters": counting, "tellers": tellers}

    def runtime(self, *names: str, programs: Sequence[Program] = (), **settings: Any) -> Runtime:
        told = Settings(**(self.settings | settings))
        return Runtime(told, names or ("counters", "tellers"), programs, services=self.services())

    def _tellers(self, environment: Environment) -> Parts:
        return self._parts("tellers", environment, servicer=Teller())

    def _counters(self, environment: Environment) -> Parts:
        app = FastAPI()

        @app.get("/slow")
        async def slow() -> dict[str, str]:
            self.happened.append("request begins")
            await asyncio.sleep(2.0)
            assert self.counters is not None
            await self.counters.write(asked(1))  # relays must outlive requests
            self.happened.append("request ends")
            return {"done": "well"}

        self.counters = Counters("", None, environment.database, None, environment.outbox, before=self.before)  # type: ignore[arg-type]
        return self._parts(
            "counters",
            environment,
            app=app,
            consumers=[Consumer(Counted.topic, self.counters.handle, workers=2)],
            jobs=[Job("tick", every=0.05, run=self._tick)],
        )

    def _parts(self, name: str, environment: Environment, **parts: Any) -> Parts:
        self.happened.append(f"build {name}")
        self.environments[name] = environment

        async def start() -> None:
            self.happened.append(f"start {name}")
            if self.fault is not None and name == "counters":
                raise self.fault

        async def stop() -> None:
            self.happened.append(f"stop {name}")

        async def provision(program: Program) -> None:
            self.happened.append(f"provision {name} {program.merchant_id}")

        return Parts(start=start, stop=stop, provision=provision, **parts)

    async def _tick(self) -> int:
        self.jobs += 1
        return 0

    @staticmethod
    async def _no_keys(_merchant_id: str) -> list[Any]:
        return []


def told(url: str, redis_url: str) -> dict[str, Any]:
    ports = {"http_port": 0, "grpc_port": 0}
    return {"database_url": url, "redis_url": redis_url, "encryption_keys": KEYS, "drain_seconds": 5.0} | ports
