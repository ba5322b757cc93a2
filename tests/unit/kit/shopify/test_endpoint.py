"""Shop domains are checked strictly: secrets are sent to them."""

import pytest

from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.settings import Settings
from loyalnest.kit.shopify.endpoint import ShopEndpoint, shop_domain


@pytest.mark.parametrize("domain", ["acme.myshopify.com", "a.myshopify.com", "4-ever-.myshopify.com"])
def test_a_shops_domain_is_accepted(domain: str) -> None:
    assert shop_domain(domain) == domain


@pytest.mark.parametrize(
    "domain",
    [
        "",
        "acme",
        "acme.com",
        "-acme.myshopify.com",
        "Acme.myshopify.com",
        "a.b.myshopify.com",
        "acme.myshopify.com.evil.example",
        "acme.myshopify.com\n",
        "acme.myshopify.com:443",
        "acme.myshopify.com/@evil.example",
        "evil.example#.myshopify.com",
        "evil.example?x=.myshopify.com",
        "user@acme.myshopify.com",
        "acme_myshopify.com",
        "ácme.myshopify.com",
        "a" * 64 + ".myshopify.com",
    ],
)
def test_anything_else_is_refused(domain: str) -> None:
    with pytest.raises(InvalidInput, match="permanent domain"):
        shop_domain(domain)
    for endpoint in (ShopEndpoint(Settings()), ShopEndpoint(Settings(shopify_address="127.0.0.1:1"))):
        with pytest.raises(InvalidInput):
            endpoint.headers(domain)
        with pytest.raises(InvalidInput):
            endpoint.browser_url(domain, "/")


def test_a_shop_is_reached_at_its_own_domain_or_at_the_stand_in() -> None:
    real = ShopEndpoint(Settings())
    assert real.url("acme.myshopify.com", "/x") == "https://acme.myshopify.com/x"
    assert real.extensions("acme.myshopify.com") == {"sni_hostname": "acme.myshopify.com"}
    near = ShopEndpoint(Settings(shopify_scheme="http", shopify_address="127.0.0.1:81"))
    assert near.url("acme.myshopify.com", "/x") == "http://127.0.0.1:81/x"
    assert near.headers("acme.myshopify.com") == {"Host": "acme.myshopify.com"}
    assert near.browser_url("acme.myshopify.com", "/x") == "http://acme.myshopify.com/x"
    assert near.extensions("acme.myshopify.com") == {}
