"""Products' routes at the gateway. They reach the service over gRPC only, so they work wherever it runs."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Request

from loyalnest.kit.environment import Environment
from loyalnest.kit.http.body import body_of
from loyalnest.kit.http.fields import PageSize, PageToken, ShortText
from loyalnest.products import products_pb2 as pb
from loyalnest.products.json_lines import MAX_BYTES
from loyalnest.products.products_pb2_grpc import ProductsServiceStub
from loyalnest.products.query import MAX_TEXT, MAX_VALUES
from loyalnest.products.views import (
    FacetsView,
    ImportsView,
    ImportView,
    ProductChange,
    ProductsView,
    ProductView,
    SearchView,
    facets_view,
    import_view,
    product_view,
)

IMPORT_SECONDS = 120.0
"""What the largest file may take, if the request itself may."""

_LINES_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-ndjson": {
                "schema": {"type": "string"},
                "example": '{"id": 632910392, "title": "Hat", "status": "active", "variants": [{"price": "19.90"}]}\n',
            }
        },
    }
}

ProductId = Annotated[int, Path(ge=1, le=2**63 - 1, description="Shopify's numeric product id.")]
Text = Annotated[
    str, Query(max_length=MAX_TEXT, description="Words, also mistyped or half typed. Empty finds everything.")
]
Vendors = Annotated[list[str], Query(alias="vendor", max_length=MAX_VALUES, description="Of one of these vendors.")]
Types = Annotated[list[str], Query(alias="product_type", max_length=MAX_VALUES, description="Of one of these types.")]
Tags = Annotated[list[str], Query(alias="tag", max_length=MAX_VALUES, description="With all of these tags.")]
Price = Annotated[str, Query(pattern=r"^([0-9]{1,15}(\.[0-9]{1,6})?)?$", description="In the shop's currency.")]
Available = Annotated[bool | None, Query(description="Whether there is something to buy.")]
Visible = Annotated[bool | None, Query(description="Whether shoppers find it.")]
Status = Annotated[Literal["", "active", "archived", "draft", "unlisted"], Query(description="Shopify's status.")]
SortBy = Annotated[
    Literal["relevance", "newest", "price", "-price", "title"],
    Query(description="-price: the dearest first. Without words, relevance is newest."),
]


def routes(environment: Environment) -> APIRouter:
    """The router of `/frontend/products…`."""
    router = APIRouter(prefix="/frontend/products", tags=["products"])
    products = ProductsServiceStub(environment.channel("products"))
    _searches(router, products)
    _imports(router, products)
    _one(router, products)  # last: its path would take theirs
    return router


def _searches(router: APIRouter, products: Any) -> None:
    @router.get("", summary="Search products")
    async def search(
        query: Text = "",
        vendors: Vendors = [],  # noqa: B006 - FastAPI copies it
        types: Types = [],  # noqa: B006
        tags: Tags = [],  # noqa: B006
        min_price: Price = "",
        max_price: Price = "",
        available: Available = None,
        visible: Visible = None,
        status: Status = "",
        sort: SortBy = "relevance",
        page_size: PageSize = 50,
        page_token: PageToken = "",
    ) -> SearchView:
        found = await products.SearchProducts(
            pb.SearchProductsRequest(
                query=query,
                vendors=vendors,
                product_types=types,
                tags=tags,
                min_price=min_price,
                max_price=max_price,
                available=available,
                visible=visible,
                status=status,
                sort=sort,
                page_size=page_size,
                page_token=page_token,
            )
        )
        return SearchView(
            products=[product_view(each) for each in found.products],
            facets=facets_view(found.facets),
            all_words=found.all_words,
            next_page_token=found.next_page_token,
        )

    @router.get("/facets", summary="What a search would find, counted by vendor, type and tag")
    async def facets(query: Text = "", visible: Visible = None, status: Status = "") -> FacetsView:
        return facets_view(
            await products.GetFacets(pb.SearchProductsRequest(query=query, visible=visible, status=status))
        )

    @router.get("/all", summary="All products, by id")
    async def listed(page_size: PageSize = 50, page_token: PageToken = "") -> ProductsView:
        page = await products.ListProducts(pb.ListProductsRequest(page_size=page_size, page_token=page_token))
        return ProductsView(
            products=[product_view(each) for each in page.products], next_page_token=page.next_page_token
        )


def _imports(router: APIRouter, products: Any) -> None:
    @router.post("/import", summary="Take in products from JSON lines of at most 10 MiB", openapi_extra=_LINES_BODY)
    async def import_file(request: Request) -> ImportView:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-ndjson":
            raise HTTPException(415, "Send the file itself as the body, with Content-Type: application/x-ndjson.")
        content = await body_of(request, MAX_BYTES)
        request_ = pb.ImportProductsRequest(json_lines=content)
        return import_view(await products.ImportProducts(request_, timeout=IMPORT_SECONDS))

    @router.get("/imports", summary="Imports, newest first")
    async def imports(page_size: PageSize = 50, page_token: PageToken = "") -> ImportsView:
        page = await products.ListImports(pb.ListImportsRequest(page_size=page_size, page_token=page_token))
        return ImportsView(imports=[import_view(each) for each in page.imports], next_page_token=page.next_page_token)

    @router.get("/imports/{import_id}", summary="An import with its report")
    async def one_import(import_id: ShortText) -> ImportView:
        return import_view(await products.GetImport(pb.GetImportRequest(import_id=import_id)))


def _one(router: APIRouter, products: Any) -> None:
    @router.get("/{product_id}", summary="A product")
    async def product(product_id: ProductId) -> ProductView:
        return product_view(await products.GetProduct(pb.GetProductRequest(product_id=product_id)))

    @router.patch("/{product_id}", summary="Hide a product from shoppers, or show it again")
    async def change(product_id: ProductId, body: ProductChange) -> ProductView:
        return product_view(
            await products.UpdateProduct(pb.UpdateProductRequest(product_id=product_id, excluded=body.excluded))
        )
