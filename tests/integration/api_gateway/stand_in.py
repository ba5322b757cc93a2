"""auth.v1 with its merchants in memory, as a service of its own: the gateway is tested against its contract."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from loyalnest.auth import auth_pb2 as pb
from loyalnest.auth.auth_pb2_grpc import AuthServiceServicer, AuthServiceStub, add_AuthServiceServicer_to_server
from loyalnest.kit.context import require_role, required_merchant
from loyalnest.kit.crypto.kek import KeyEncryptionKeys
from loyalnest.kit.crypto.keyring import WrappedKey, new_merchant_keys
from loyalnest.kit.environment import Environment
from loyalnest.kit.errors import NotFound, Unauthenticated, Unavailable
from loyalnest.kit.service import Parts, Rpc, Service


@dataclass(slots=True)
class Shop:
    merchant_id: str
    secrets: list[str]
    status: str = "active"


@dataclass(slots=True)
class Auth:
    """What auth knows, and how it fares. `keks` wraps the keys that it hands out."""

    keks: KeyEncryptionKeys
    shops: dict[str, Shop] = field(default_factory=dict)
    tokens: dict[str, tuple[str, str]] = field(default_factory=dict)
    keys: dict[str, list[WrappedKey]] = field(default_factory=dict)
    away: bool = False
    asked: list[str] = field(default_factory=list)

    def add(self, merchant_id: str, *secrets: str, status: str = "active") -> None:
        self.shops[f"{merchant_id}.myshopify.com"] = Shop(merchant_id, list(secrets), status)
        self.keys[merchant_id] = new_merchant_keys(merchant_id, self.keks)
        for role in ("owner", "support"):
            self.tokens[f"{merchant_id}-{role}"] = (merchant_id, role)

    def service(self) -> Service:
        def key_source(_channel: Any) -> Callable[[str], Awaitable[Sequence[WrappedKey]]]:
            async def source(merchant_id: str) -> Sequence[WrappedKey]:
                return self.keys.get(merchant_id, [])

            return source

        def build(_environment: Environment) -> Parts:
            return Parts(servicer=_Servicer(self))  # type: ignore[abstract]  # the rest is unimplemented

        return Service(
            name="auth",
            summary="auth.v1 from memory.",
            build=build,
            rpc=Rpc("auth.v1.AuthService", add_AuthServiceServicer_to_server, AuthServiceStub, None),
            key_source=key_source,
        )


class _Servicer(AuthServiceServicer):
    def __init__(self, auth: Auth) -> None:
        self._auth = auth

    async def ValidateToken(self, request: pb.ValidateTokenRequest, context: Any) -> pb.ValidateTokenResponse:  # noqa: N802
        self._auth.asked.append("token")
        if self._auth.away:
            raise Unavailable("auth is away.")
        if request.token not in self._auth.tokens:
            raise Unauthenticated("The token is not one of ours.")
        merchant_id, role = self._auth.tokens[request.token]
        return pb.ValidateTokenResponse(merchant_id=merchant_id, actor=f"admin:{merchant_id}", role=role)

    async def ValidateMerchant(self, request: pb.ValidateMerchantRequest, context: Any) -> pb.Merchant:  # noqa: N802
        require_role()  # LoyalNest's own only: the answer holds secrets
        self._auth.asked.append(request.shop_domain)
        if self._auth.away:
            raise Unavailable("auth is away.")
        shop = self._auth.shops.get(request.shop_domain)
        if shop is None:
            raise NotFound("No such shop.")
        return pb.Merchant(
            merchant_id=shop.merchant_id,
            shop_domain=request.shop_domain,
            status=shop.status,
            api_secrets=shop.secrets,
        )

    async def GetMerchant(self, request: pb.GetMerchantRequest, context: Any) -> pb.Merchant:  # noqa: N802
        merchant_id = required_merchant()
        return pb.Merchant(merchant_id=merchant_id, shop_domain=f"{merchant_id}.myshopify.com")

    async def GetShopAccess(self, request: pb.GetShopAccessRequest, context: Any) -> pb.GetShopAccessResponse:  # noqa: N802
        required_merchant()
        return pb.GetShopAccessResponse(connected=False)
