"""Which application of a process answers a path."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send


class ByPath:
    """Gives a request to the application that has its path in `owners`, and any other to `app`.

    A path in `owners` that ends in a slash stands for everything below it, and `/` for itself alone.
    """

    def __init__(self, app: ASGIApp, owners: Mapping[str, ASGIApp]) -> None:
        self._app = app
        self._exact = {path: owner for path, owner in owners.items() if path == "/" or not path.endswith("/")}
        self._below = tuple((path, owner) for path, owner in owners.items() if path not in self._exact)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._owner(scope)(scope, receive, send)

    def _owner(self, scope: Scope) -> ASGIApp:
        if scope["type"] != "http":
            return self._app
        path = scope["path"]
        return self._exact.get(path) or next(
            (owner for below, owner in self._below if path.startswith(below)), self._app
        )
