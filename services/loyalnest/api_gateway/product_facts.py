"""The facts of `products/…` deliveries. How Shopify's product is read stands in `loyalnest.kit.shopify.product`."""

import msgspec

from loyalnest.api_gateway.events import ProductFacts, Topic
from loyalnest.kit.shopify.product import read_product, read_product_id


def product_facts(topic: str, body: bytes) -> ProductFacts:
    """The facts of a delivery of `topic`; a deletion names the product and nothing else. Raises InvalidInput."""
    if topic == Topic.PRODUCTS_DELETE:
        return ProductFacts(product_id=read_product_id(body), deleted=True)
    return ProductFacts(**msgspec.structs.asdict(read_product(body)))
