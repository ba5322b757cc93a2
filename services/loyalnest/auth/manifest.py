"""Declares the service auth."""

from collections.abc import Sequence
from typing import Any, cast

import httpx

from loyalnest.admin_core.events import AuditLog, GdprRequestCompleted, GdprRequestConfirmed, GdprRequestCreated
from loyalnest.api_gateway.events import WebhookReceived
from loyalnest.auth import auth_pb2, residence
from loyalnest.auth.access import ShopAccess, Unbroken
from loyalnest.auth.admins import AdminUsers
from loyalnest.auth.api_keys import ApiKeys
from loyalnest.auth.auth_pb2_grpc import AuthServiceStub, add_AuthServiceServicer_to_server
from loyalnest.auth.events import MerchantCreated, MerchantInstalled
from loyalnest.auth.grpc import AuthGrpc
from loyalnest.auth.http import public_routes, routes
from loyalnest.auth.install import Installs
from loyalnest.auth.jobs import Pruning, Resealing
from loyalnest.auth.keys import KeyRotation, OwnKeys
from loyalnest.auth.redaction import AdminsKept, KeyDestruction
from loyalnest.auth.service import AuthService
from loyalnest.auth.sessions import Sessions, TokenValidator
from loyalnest.auth.uninstalling import Uninstallations
from loyalnest.kit.context import as_merchant
from loyalnest.kit.crypto.kek import KeyEncryptionKeys
from loyalnest.kit.crypto.keyring import Source, WrappedKey
from loyalnest.kit.environment import Environment
from loyalnest.kit.errors import DeadlineExceeded, NotFound, Unavailable
from loyalnest.kit.privacy import PrivacyRequests
from loyalnest.kit.service import Consumer, Job, Parts, Residence, Rpc, Service
from loyalnest.kit.shopify.endpoint import ShopEndpoint
from loyalnest.kit.shopify.oauth import OAuthClient

__all__ = ["SERVICE"]

KEYS_SECONDS = 5.0
"""How long a process waits for a merchant's keys; it has those of before to fall back on."""


def build(environment: Environment) -> Parts:
    """The live parts of auth."""
    database, outbox, clock = environment.database, environment.outbox, environment.clock
    keks = KeyEncryptionKeys.from_settings(environment.settings)
    keys = OwnKeys(database, keks, clock)
    validator = TokenValidator(database, keys, clock)
    sessions = Sessions(database, outbox, keys, validator, clock)
    admins = AdminUsers(database, outbox, keys, validator, clock)
    service = AuthService(database, outbox, keys, admins, validator, clock)
    http, endpoint = httpx.AsyncClient(), ShopEndpoint(environment.settings)
    refreshes, visits = Unbroken(), Unbroken()  # people get in while refreshes wait for Shopify
    oauth = OAuthClient(http, endpoint, clock=clock)
    access = ShopAccess(database, keys, oauth, refreshes, clock)
    installs = Installs(database, outbox, keys, oauth, endpoint, sessions, admins, visits, clock)
    rotation = KeyRotation(database, outbox, keys, keks, clock)
    api_keys = ApiKeys(database, outbox, validator.forget, clock)

    uninstallations = Uninstallations(database, outbox, validator, clock)
    privacy = PrivacyRequests(database, outbox, environment.keys, clock, AdminsKept(), GdprRequestCreated.read)
    destruction = KeyDestruction(database, outbox, keys, environment.keys, keks, validator, clock)

    async def stop() -> None:
        await visits.close()
        await refreshes.close()
        await http.aclose()

    return Parts(
        servicer=AuthGrpc(service, validator, sessions, admins, installs, access, rotation, api_keys),
        consumers=(
            Consumer(WebhookReceived.topic, uninstallations.handle),
            Consumer(GdprRequestCreated.topic, privacy.handle, batch=10),
            Consumer(GdprRequestCompleted.topic, destruction.handle),
        ),
        jobs=(
            Job("prune", every=300, run=Pruning(database, clock).run),
            Job("reseal", every=60, run=Resealing(database, keys).run),
        ),
        provision=service.provision,
        stop=stop,
    )


def key_source(channel: Any) -> Source:
    """Where every process gets the merchants' wrapped keys: GetDataKeys, asked as the merchant."""
    auth = AuthServiceStub(channel)

    async def source(merchant_id: str) -> Sequence[WrappedKey]:
        try:
            with as_merchant(merchant_id):
                found = await auth.GetDataKeys(auth_pb2.GetDataKeysRequest(), timeout=KEYS_SECONDS)
        except NotFound:
            return []
        except DeadlineExceeded as error:
            raise Unavailable(error.detail) from error
        return [
            WrappedKey(merchant_id, cast("Any", key.purpose), key.version, key.kek_id, key.wrapped)
            for key in found.keys
        ]

    return source


SERVICE = Service(
    name="auth",
    summary="Merchants, their admins, sessions and keys; Shopify's OAuth.",
    build=build,
    produces=(MerchantCreated, MerchantInstalled, AuditLog, GdprRequestConfirmed),
    consumes=(WebhookReceived.topic, GdprRequestCreated.topic, GdprRequestCompleted.topic),
    rpc=Rpc(
        name="auth.v1.AuthService",
        register=add_AuthServiceServicer_to_server,
        stub=AuthServiceStub,
        descriptor=auth_pb2.DESCRIPTOR,
    ),
    migrations="loyalnest.auth.migrations",
    routes=routes,
    public_routes=public_routes,
    key_source=key_source,
    residence=Residence(residence.is_open, residence.rewrap),
    calls_out=True,
)
