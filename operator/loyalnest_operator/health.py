"""`/healthz`, `/readyz` and `/metrics` of the operator."""

from collections.abc import Callable, Mapping

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


class HealthServer:
    """Answers probes. `problems` gives what is wrong with the process by name; nothing means well.

    A standby is ready: it waits for the lead as it should.
    """

    def __init__(self, port: int, problems: Callable[[], Mapping[str, str]]) -> None:
        self._port = port
        self._problems = problems
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen on every address."""
        app = web.Application()
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/readyz", self._health)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "0.0.0.0", self._port)  # noqa: S104 - probes come from the node
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        problems = dict(self._problems())
        return web.json_response(
            {"status": "stuck" if problems else "well", "problems": problems}, status=503 if problems else 200
        )

    @staticmethod
    async def _metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
