"""Declares the service api_gateway."""

from loyalnest.api_gateway.app import build_app
from loyalnest.api_gateway.channels import with_later_channels
from loyalnest.api_gateway.deliveries import Deliveries
from loyalnest.api_gateway.events import WebhookReceived
from loyalnest.api_gateway.reconciliation import Reconciliation
from loyalnest.auth import auth_pb2
from loyalnest.auth.auth_pb2_grpc import AuthServiceStub
from loyalnest.kit.environment import Environment
from loyalnest.kit.service import Job, Parts, Service
from loyalnest.kit.shopify.connections import ShopConnections
from loyalnest.kit.shopify.endpoint import ShopEndpoint
from loyalnest.points.points_pb2_grpc import PointsServiceStub

__all__ = ["SERVICE"]


def build(environment: Environment) -> Parts:
    """The live parts of the gateway."""
    environment = with_later_channels(environment)
    deliveries = Deliveries(environment.keys)
    auth = AuthServiceStub(environment.channel("auth"))
    shops = ShopConnections(
        ShopEndpoint(environment.settings),
        lambda refused: auth.GetShopAccess(auth_pb2.GetShopAccessRequest(refused_token=refused)),
    )
    app = build_app(environment, deliveries)
    if "points" not in environment.services:
        return Parts(app=app, stop=shops.close)
    reconciliation = Reconciliation(
        environment.database,
        environment.bus,
        deliveries,
        shops,
        auth,
        PointsServiceStub(environment.channel("points")),
        environment.clock,
    )
    return Parts(
        app=app,
        jobs=(Job("reconcile_orders", every=900, run=reconciliation.run),),
        observe=reconciliation.observe,
        stop=shops.close,
    )


SERVICE = Service(
    name="api_gateway",
    summary="The HTTP edge: Shopify's deliveries, the API of every service, limits; and what no delivery brought.",
    build=build,
    needs=("auth",),
    produces=(WebhookReceived,),
    migrations="loyalnest.api_gateway.migrations",
    edge=True,
    calls_out=True,
)
