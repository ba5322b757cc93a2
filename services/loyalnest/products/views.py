"""What products' routes take and give, as it stands in the OpenAPI document."""

from pydantic import BaseModel, Field

from loyalnest.products import products_pb2 as pb


class ProductView(BaseModel):
    """A product. Times and prices are empty where nothing was told."""

    product_id: str
    title: str
    handle: str
    description: str = Field(description="Plain text.")
    vendor: str
    product_type: str
    tags: list[str]
    status: str = Field(description="active, archived, draft or unlisted; empty if Shopify did not say.")
    published: bool
    lowest_price: str = Field(description="Of its variants, in the shop's currency.")
    highest_price: str
    skus: list[str]
    image_url: str
    inventory: int | None = Field(description="Pieces of all variants; null where they are not counted.")
    available: bool
    excluded: bool = Field(description="Hidden from shoppers by an admin.")
    visible: bool = Field(description="Whether shoppers find it: published, active, not excluded.")
    created_at: str
    updated_at: str


class FacetValueView(BaseModel):
    value: str
    products: int


class FacetsView(BaseModel):
    """What was found, counted. Values are the 20 that most of the products found have."""

    total: int = Field(description="How many products were found; if not exact, at least so many.")
    exact: bool = Field(description="If not, what is counted here is a sample of `total` products.")
    vendors: list[FacetValueView]
    product_types: list[FacetValueView]
    tags: list[FacetValueView]
    available: int | None = Field(description="Of these, such as can be bought; null where nothing was searched for.")
    lowest_price: str
    highest_price: str


class SearchView(BaseModel):
    products: list[ProductView]
    facets: FacetsView
    all_words: bool = Field(description="False if no product has all the words: then these have some of them.")
    next_page_token: str


class ProductsView(BaseModel):
    products: list[ProductView]
    next_page_token: str


class ProductChange(BaseModel):
    """What an admin decides here; all else of a product is changed in Shopify."""

    model_config = {"extra": "forbid", "strict": True}

    excluded: bool = Field(description="Hide it from shoppers.")


class RejectedView(BaseModel):
    line: int
    column: str = Field(description="The field that is wrong; empty where the line as a whole is.")
    reason: str


class ImportView(BaseModel):
    """An import. rows = created + updated + unchanged + rejected."""

    import_id: str
    status: str = Field(description="running, completed, failed, or interrupted: import the file again then.")
    rows: int
    created: int
    updated: int
    unchanged: int
    rejected: int
    problems: list[RejectedView] = Field(description="The first 5,000; empty in lists.")
    actor: str
    started_at: str
    finished_at: str


class ImportsView(BaseModel):
    imports: list[ImportView]
    next_page_token: str


def product_view(found: pb.Product) -> ProductView:
    """A product's view."""
    plain = {
        name: getattr(found, name)
        for name in ProductView.model_fields
        if name not in ("product_id", "tags", "skus", "inventory")
    }
    return ProductView(
        product_id=str(found.product_id),
        tags=list(found.tags),
        skus=list(found.skus),
        inventory=found.inventory if found.HasField("inventory") else None,
        **plain,
    )


def facets_view(found: pb.Facets) -> FacetsView:
    """The view of what was counted."""
    values = {
        name: [FacetValueView(value=each.value, products=each.products) for each in getattr(found, name)]
        for name in ("vendors", "product_types", "tags")
    }
    return FacetsView(
        total=found.total,
        exact=found.exact,
        available=found.available if found.HasField("available") else None,
        lowest_price=found.lowest_price,
        highest_price=found.highest_price,
        **values,
    )


def import_view(found: pb.Import) -> ImportView:
    """An import's view."""
    values = {name: getattr(found, name) for name in ImportView.model_fields if name != "problems"}
    problems = [RejectedView(line=each.line, column=each.column, reason=each.reason) for each in found.problems]
    return ImportView(problems=problems, **values)
