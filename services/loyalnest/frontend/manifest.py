"""Declares the service frontend."""

from loyalnest.frontend.http import routes
from loyalnest.frontend.pages import PATHS, build_app
from loyalnest.kit.environment import Environment
from loyalnest.kit.service import Parts, Service

__all__ = ["SERVICE"]


def build(environment: Environment) -> Parts:
    """The live parts of the frontend."""
    return Parts(app=build_app())


SERVICE = Service(
    name="frontend",
    summary="What merchants see: the start page and the overview.",
    build=build,
    routes=routes,
    paths=PATHS,
)
