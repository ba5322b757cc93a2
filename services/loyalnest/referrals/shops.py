"""The address of a merchant's shop, which auth knows."""

from loyalnest.auth import auth_pb2
from loyalnest.auth.auth_pb2_grpc import AuthServiceStub
from loyalnest.kit.context import as_merchant
from loyalnest.kit.shopify.endpoint import ShopEndpoint


class Shops:
    """Asks auth once for each merchant: a program's shop never changes."""

    def __init__(self, auth: AuthServiceStub, endpoint: ShopEndpoint) -> None:
        self._auth = auth
        self._endpoint = endpoint
        self._domains: dict[str, str] = {}

    async def url(self, merchant_id: str, path: str) -> str:
        """The address of `path` in the merchant's shop. Raises Unavailable while auth is away."""
        if merchant_id not in self._domains:
            with as_merchant(merchant_id):
                found = await self._auth.GetMerchant(auth_pb2.GetMerchantRequest())
            self._domains[merchant_id] = found.shop_domain
        return self._endpoint.browser_url(self._domains[merchant_id], path)
