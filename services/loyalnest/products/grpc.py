"""The gRPC side of products: messages in and out, no decisions."""

from decimal import Decimal, InvalidOperation
from typing import Any

from loyalnest.kit.context import current, require_role, required_merchant
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.import_repository import Import
from loyalnest.kit.paging import number_after, page_limit
from loyalnest.kit.rpc.fields import decimal_text, time_text, uuid_of
from loyalnest.products import products_pb2 as pb
from loyalnest.products.imports import ProductImports
from loyalnest.products.indexing import Kind
from loyalnest.products.models import Kept, Sort
from loyalnest.products.products_pb2_grpc import ProductsServiceServicer
from loyalnest.products.query import Filters, Query
from loyalnest.products.search import Found
from loyalnest.products.search_repository import Matched
from loyalnest.products.service import ProductsService

_READERS = ("owner", "staff", "support")
_SHOPPER = "shopper"
_AS_TOLD = ("product_id", "title", "handle", "description", "vendor", "product_type", "tags", "status", "published")
_MOST_DIGITS = 30


class ProductsGrpc(ProductsServiceServicer):
    """Serves `products.v1.ProductsService` for the merchant of the call's context."""

    def __init__(self, service: ProductsService, imports: ProductImports) -> None:
        self._service = service
        self._imports = imports

    async def SearchProducts(self, request: pb.SearchProductsRequest, context: Any) -> pb.SearchProductsResponse:
        require_role(*_READERS, _SHOPPER)
        query = _query(request)
        found = await self._service.search(required_merchant(), query)
        return pb.SearchProductsResponse(
            products=[_product(each) for each in found.products],
            next_page_token=str(query.end) if found.more else "",
            facets=_facets(found.matched),
            all_words=found.all_words,
        )

    async def GetFacets(self, request: pb.SearchProductsRequest, context: Any) -> pb.Facets:
        require_role(*_READERS, _SHOPPER)
        found: Found = await self._service.search(required_merchant(), _query(request))
        return _facets(found.matched)

    async def GetProduct(self, request: pb.GetProductRequest, context: Any) -> pb.Product:
        require_role(*_READERS, _SHOPPER)
        product_id = _product_id(request.product_id)
        return _product(await self._service.product(required_merchant(), product_id, visible=_is_shopper()))

    async def ListProducts(self, request: pb.ListProductsRequest, context: Any) -> pb.ListProductsResponse:
        require_role(*_READERS)
        rows, token = await self._service.listed(required_merchant(), request.page_size, request.page_token)
        return pb.ListProductsResponse(products=[_product(row) for row in rows], next_page_token=token)

    async def UpdateProduct(self, request: pb.UpdateProductRequest, context: Any) -> pb.Product:
        require_role("owner", "staff")
        product_id = _product_id(request.product_id)
        return _product(await self._service.exclude(required_merchant(), product_id, excluded=request.excluded))

    async def ImportProducts(self, request: pb.ImportProductsRequest, context: Any) -> pb.Import:
        require_role("owner", "staff")
        return _import(await self._imports.run(required_merchant(), request.json_lines))

    async def GetImport(self, request: pb.GetImportRequest, context: Any) -> pb.Import:
        require_role(*_READERS)
        return _import(await self._imports.find(required_merchant(), uuid_of(request.import_id, "import")))

    async def ListImports(self, request: pb.ListImportsRequest, context: Any) -> pb.ListImportsResponse:
        require_role(*_READERS)
        rows, token = await self._imports.listed(required_merchant(), request.page_size, request.page_token)
        return pb.ListImportsResponse(imports=[_import(row) for row in rows], next_page_token=token)


def _is_shopper() -> bool:
    return current().role == _SHOPPER


def _product_id(number: int) -> int:
    if number <= 0:
        raise InvalidInput("product_id must be Shopify's numeric product id.")
    return number


def _query(request: pb.SearchProductsRequest) -> Query:
    """The search that is asked for. Shoppers see what is visible, whatever they ask. Raises InvalidInput."""
    try:
        sort = Sort(request.sort or Sort.RELEVANCE)
    except ValueError:
        raise InvalidInput(f"sort must be one of {', '.join(Sort)}.") from None
    filters = Filters(
        vendors=_values(request.vendors),
        types=_values(request.product_types),
        tags=_values(request.tags),
        lowest=_price(request.min_price, "min_price"),
        highest=_price(request.max_price, "max_price"),
        available=request.available if request.HasField("available") else None,
        visible=request.visible if request.HasField("visible") else None,
        status=_text(request.status),
    )
    if _is_shopper():
        filters = Filters(
            filters.vendors, filters.types, filters.tags, filters.lowest, filters.highest, filters.available, True
        )
    limit, offset = page_limit(request.page_size), number_after(request.page_token)
    return Query(request.query, filters, sort, offset, limit)


def _values(texts: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_text(each) for each in texts if each))


def _text(text: str) -> str:
    """A value to compare with. PostgreSQL has no NUL, so nothing that is kept has one."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _price(text: str, what: str) -> Decimal | None:
    if not text:
        return None
    try:
        price = Decimal(text)
    except InvalidOperation:
        price = Decimal("NaN")
    if len(text) > _MOST_DIGITS or not price.is_finite() or price < 0 or price.adjusted() > _MOST_DIGITS:
        raise InvalidInput(f"{what} must be an amount such as 19.90.")
    return price


def _product(kept: Kept) -> pb.Product:
    facts = kept.told.facts
    return pb.Product(
        **{name: getattr(facts, name) for name in _AS_TOLD},
        lowest_price=decimal_text(facts.lowest_price),
        highest_price=decimal_text(facts.highest_price),
        skus=facts.skus,
        image_url=facts.image_url,
        inventory=facts.inventory,
        available=kept.available,
        excluded=kept.excluded,
        visible=kept.visible,
        created_at=time_text(facts.created_at),
        updated_at=time_text(facts.updated_at),
    )


def _facets(matched: Matched) -> pb.Facets:
    def values(kind: Kind) -> list[pb.FacetValue]:
        return [pb.FacetValue(value=value, products=count) for of, value, count in matched.facets if of == kind]

    return pb.Facets(
        total=matched.total,
        exact=matched.whole,
        vendors=values(Kind.VENDOR),
        product_types=values(Kind.TYPE),
        tags=values(Kind.TAG),
        available=matched.available,
        lowest_price=decimal_text(matched.lowest),
        highest_price=decimal_text(matched.highest),
    )


def _import(log: Import) -> pb.Import:
    return pb.Import(
        import_id=str(log.import_id),
        status=log.status,
        rows=log.rows,
        created=log.created,
        updated=log.updated,
        unchanged=log.unchanged,
        rejected=log.rejected,
        problems=[pb.RejectedCell(line=each.line, column=each.column, reason=each.reason) for each in log.problems],
        actor=log.actor,
        started_at=time_text(log.started_at),
        finished_at=time_text(log.finished_at),
    )
