"""`GET /proxy/products`: the storefront widget's search, through Shopify's app proxy. Anyone may search, guests too."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from loyalnest.kit.environment import Environment
from loyalnest.products import products_pb2 as pb
from loyalnest.products.products_pb2_grpc import ProductsServiceStub

MOST: int = 50
"""Products of a page; a widget shows no more at once."""

Values = Annotated[list[str], Query(max_length=20)]
Price = Annotated[str, Query(pattern=r"^([0-9]{1,15}(\.[0-9]{1,6})?)?$", description="In the shop's currency.")]


class WidgetProduct(BaseModel):
    product_id: str
    title: str
    handle: str = Field(description="The product's page is `/products/` and this.")
    vendor: str
    product_type: str
    lowest_price: str = Field(description="In the shop's currency; empty for none.")
    highest_price: str
    image_url: str
    available: bool


class WidgetFacet(BaseModel):
    value: str
    products: int


class WidgetProducts(BaseModel):
    """What the widget shows."""

    products: list[WidgetProduct]
    total: int = Field(description="How many were found; if not exact, at least so many.")
    exact: bool
    all_words: bool = Field(description="False if no product has all the words.")
    vendors: list[WidgetFacet]
    product_types: list[WidgetFacet]
    tags: list[WidgetFacet]
    next_page_token: str


def shopper_routes(environment: Environment) -> APIRouter:
    """The router of `/proxy/products`."""
    router = APIRouter(prefix="/proxy/products", tags=["widget"])
    products = ProductsServiceStub(environment.channel("products"))

    @router.get("", summary="Search the shop's products, for the storefront widget")
    async def search(
        query: Annotated[str, Query(max_length=500)] = "",
        vendor: Values = [],  # noqa: B006 - FastAPI copies it
        product_type: Values = [],  # noqa: B006
        tag: Values = [],  # noqa: B006
        min_price: Price = "",
        max_price: Price = "",
        available: bool | None = None,
        sort: Literal["relevance", "newest", "price", "-price", "title"] = "relevance",
        page_size: Annotated[int, Query(ge=1, le=MOST)] = 20,
        page_token: Annotated[str, Query(max_length=20)] = "",
    ) -> WidgetProducts:
        found = await products.SearchProducts(
            pb.SearchProductsRequest(
                query=query,
                vendors=vendor,
                product_types=product_type,
                tags=tag,
                min_price=min_price,
                max_price=max_price,
                available=available,
                sort=sort,
                page_size=page_size,
                page_token=page_token,
            )
        )
        return _view(found)

    return router


def _view(found: pb.SearchProductsResponse) -> WidgetProducts:
    plain = [name for name in WidgetProduct.model_fields if name != "product_id"]
    facets = {
        name: [WidgetFacet(value=each.value, products=each.products) for each in getattr(found.facets, name)]
        for name in ("vendors", "product_types", "tags")
    }
    return WidgetProducts(
        products=[
            WidgetProduct(product_id=str(each.product_id), **{name: getattr(each, name) for name in plain})
            for each in found.products
        ],
        total=found.facets.total,
        exact=found.facets.exact,
        all_words=found.all_words,
        next_page_token=found.next_page_token,
        **facets,
    )
