"""Declares the service products."""

from loyalnest.admin_core.events import AuditLog, GdprRequestConfirmed, GdprRequestCreated
from loyalnest.api_gateway.events import WebhookReceived
from loyalnest.kit.environment import Environment
from loyalnest.kit.privacy import PrivacyRequests
from loyalnest.kit.service import Consumer, Job, Parts, Rpc, Service
from loyalnest.products import products_pb2
from loyalnest.products.consumers import DeliveryBatches
from loyalnest.products.grpc import ProductsGrpc
from loyalnest.products.http import routes
from loyalnest.products.imports import ProductImports
from loyalnest.products.jobs import Pruning
from loyalnest.products.privacy_repository import ProductsKept
from loyalnest.products.products_pb2_grpc import ProductsServiceStub, add_ProductsServiceServicer_to_server
from loyalnest.products.service import ProductsService
from loyalnest.products.shopper_http import shopper_routes

__all__ = ["SERVICE"]

_SECONDS_A_DAY = 86_400.0


def build(environment: Environment) -> Parts:
    """The live parts of products."""
    database, outbox, clock = environment.database, environment.outbox, environment.clock
    privacy = PrivacyRequests(database, outbox, environment.keys, clock, ProductsKept(), GdprRequestCreated.read)
    forgetting = Pruning(database, clock, environment.settings.remembered_days)
    return Parts(
        servicer=ProductsGrpc(ProductsService(database, outbox, clock), ProductImports(database, outbox, clock)),
        consumers=(
            Consumer(WebhookReceived.topic, DeliveryBatches(database).handle),
            Consumer(GdprRequestCreated.topic, privacy.handle, batch=10),
        ),
        jobs=(
            Job("forget_deletions", every=3600, run=forgetting.forget_deletions),
            Job("delete_unused_terms", every=_SECONDS_A_DAY, run=forgetting.delete_unused_terms),
        ),
    )


SERVICE = Service(
    name="products",
    summary="Products, kept from Shopify, and their search.",
    build=build,
    needs=("auth",),  # the merchants' keys come from there
    produces=(AuditLog, GdprRequestConfirmed),
    consumes=(WebhookReceived.topic, GdprRequestCreated.topic),
    rpc=Rpc(
        name="products.v1.ProductsService",
        register=add_ProductsServiceServicer_to_server,
        stub=ProductsServiceStub,
        descriptor=products_pb2.DESCRIPTOR,
    ),
    migrations="loyalnest.products.migrations",
    routes=routes,
    shopper_routes=shopper_routes,
)
