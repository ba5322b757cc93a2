"""Declares the service api_gateway."""

from loyalnest.api_gateway.app import build_app
from loyalnest.api_gateway.events import WebhookReceived
from loyalnest.kit.environment import Environment
from loyalnest.kit.service import Parts, Service

__all__ = ["SERVICE"]


def build(environment: Environment) -> Parts:
    """The live parts of the gateway."""
    return Parts(app=build_app(environment))


SERVICE = Service(
    name="api_gateway",
    summary="The HTTP edge: Shopify's deliveries, the API of every service, limits.",
    build=build,
    needs=("auth",),
    produces=(WebhookReceived,),
    edge=True,
)
