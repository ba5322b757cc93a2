"""The gateway's application: the routes of every service, behind the edge."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.types import ASGIApp

from loyalnest import __version__
from loyalnest.api_gateway import openapi, reconciliation_http, status
from loyalnest.api_gateway.authentication import Authentication, Tokens
from loyalnest.api_gateway.deliveries import Deliveries
from loyalnest.api_gateway.limits import Limit, Limiter
from loyalnest.api_gateway.merchants import Merchants, lookup_by
from loyalnest.api_gateway.proxy import ShopperCalls
from loyalnest.api_gateway.webhooks import PREFIX, Webhooks
from loyalnest.auth.auth_pb2_grpc import AuthServiceStub
from loyalnest.kit.environment import Environment
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.http import problems
from loyalnest.kit.http.edge import Edge


class GatewayApp(FastAPI):
    """FastAPI behind the edge."""

    def __init__(self, webhooks: ASGIApp, **options: Any) -> None:
        super().__init__(**options)
        self._webhooks = webhooks
        self._document: dict[str, Any] | None = None

    def build_middleware_stack(self) -> ASGIApp:
        """FastAPI's own stack, with the edge around it."""
        return Edge(super().build_middleware_stack(), {PREFIX: self._webhooks})

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made once."""
        if self._document is None:
            self._document = openapi.completed(super().openapi())
        return self._document


def build_app(environment: Environment, deliveries: Deliveries) -> GatewayApp:
    """The application. Raises InvalidInput if a service's routes cannot reach it."""
    settings, clock = environment.settings, environment.clock
    auth = AuthServiceStub(environment.channel("auth"))
    merchants = Merchants(lookup_by(auth))
    limiter = Limiter(environment.redis, environment.redis_prefix)
    per_webhook, per_forger = Limit(settings.webhook_limit_per_minute), Limit(settings.forged_limit_per_minute)
    per_request = Limit(settings.request_limit_per_minute)
    app = GatewayApp(
        Webhooks(merchants, limiter, per_webhook, per_forger, deliveries, environment.bus),
        title="LoyalNest",
        version=__version__,
        description=openapi.DESCRIPTION,
        docs_url=None,  # FastAPI's pages load from a CDN
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=openapi.operation_id,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # the edge does that
    )
    problems.install(app)
    app.include_router(status.routes(environment), responses=openapi.PUBLIC)
    authenticated = Depends(Authentication(Tokens(auth, clock), limiter, per_request))
    app.include_router(
        reconciliation_http.routes(environment.database), dependencies=[authenticated], responses=openapi.PROTECTED
    )
    shoppers = Depends(ShopperCalls(merchants, limiter, per_request, clock))
    for name, service in environment.services.items():
        if service.shopper_routes is not None:
            router = _routes(name, service.shopper_routes, environment)
            app.include_router(router, dependencies=[shoppers], responses=openapi.PUBLIC)
        if service.public_routes is not None:
            router = _routes(name, service.public_routes, environment)
            app.include_router(router, responses=openapi.PUBLIC)
        if service.routes is not None:
            router = _routes(name, service.routes, environment)
            app.include_router(router, dependencies=[authenticated], responses=openapi.PROTECTED)
    return app


def _routes(name: str, make: Callable[[Environment], APIRouter], environment: Environment) -> APIRouter:
    try:
        return make(environment)
    except InvalidInput as error:
        raise InvalidInput(f"The gateway cannot serve the routes of {name}. {error.detail}") from error
