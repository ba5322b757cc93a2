"""Where a shop is reached: its own domain, or a stand-in elsewhere that is told the shop by the Host header."""

import re
from collections.abc import Mapping
from typing import Any

from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.settings import Settings

_SHOP = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\.myshopify\.com")


def shop_domain(text: str) -> str:
    """`text` if it is a shop's permanent domain, else InvalidInput.

    This is the only guard between a query parameter and the host that secrets are sent to, so it is strict:
    lower case, ASCII, one label, no port, no line break after it.
    """
    if not _SHOP.fullmatch(text):
        raise InvalidInput("A shop is named by its permanent domain, such as acme.myshopify.com.")
    return text


class ShopEndpoint:
    """Addresses of shops' APIs under the settings `shopify_scheme` and `shopify_address`."""

    def __init__(self, settings: Settings) -> None:
        self._scheme = settings.shopify_scheme
        self._address = settings.shopify_address

    def url(self, shop: str, path: str) -> str:
        """The address to connect to for `path` of `shop`. Raises InvalidInput if `shop` is no shop's domain."""
        return f"{self._scheme}://{self._address or shop_domain(shop)}{path}"

    def headers(self, shop: str) -> dict[str, str]:
        """The Host header, which stays the shop's domain wherever the connection goes."""
        return {"Host": shop_domain(shop)}

    def extensions(self, shop: str) -> Mapping[str, Any]:
        """httpx request extensions: over TLS the certificate must be the shop's, wherever the connection goes."""
        return {"sni_hostname": shop_domain(shop)} if self._scheme == "https" else {}

    def browser_url(self, shop: str, path: str) -> str:
        """The address that a person's browser is sent to: always the shop's own domain."""
        return f"{self._scheme}://{shop_domain(shop)}{path}"
