"""`GET /status`: what runs here. It tells nothing of a merchant."""

import time

from fastapi import APIRouter
from pydantic import BaseModel, Field

from loyalnest import __version__
from loyalnest.kit.environment import Environment


class ServiceStatus(BaseModel):
    name: str
    summary: str
    here: bool = Field(description="Whether it runs in the process that answered.")


class StatusView(BaseModel):
    version: str
    bus: str = Field(description="Where events are kept: postgres or kafka.")
    uptime_seconds: int
    services: list[ServiceStatus]


def routes(environment: Environment) -> APIRouter:
    """The router of `/status`."""
    router = APIRouter(tags=["status"])
    started = time.monotonic()

    @router.get("/status", summary="Version, and which services run where")
    async def status() -> StatusView:
        return StatusView(
            version=__version__,
            bus=environment.settings.bus,
            uptime_seconds=int(time.monotonic() - started),
            services=[
                ServiceStatus(name=each.name, summary=each.summary, here=each.name in environment.running)
                for each in sorted(environment.services.values(), key=lambda service: service.name)
            ],
        )

    return router
