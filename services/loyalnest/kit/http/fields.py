"""Types of HTTP fields, with the bounds that keep bad input from reaching a service."""

from typing import Annotated

from fastapi import Header, Query
from pydantic import AfterValidator, Field

from loyalnest.kit.paging import MAX_PAGE

MAX_ID = 2**63 - 1


def _in_range(value: str) -> str:
    if not 1 <= int(value) <= MAX_ID:
        raise ValueError(f"must be between 1 and {MAX_ID}")
    return value


CustomerId = Annotated[
    str,
    Field(
        pattern=r"^[1-9][0-9]{0,18}$",
        description="Shopify's numeric customer id, as a string.",
        examples=["7000000000001"],
    ),
    AfterValidator(_in_range),
]
"""An id that may exceed 2^53 and so is never a JSON number."""

ShortText = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""A name, reason or id: one line, no control characters."""

PageSize = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Rows of a page.")]
PageToken = Annotated[
    str, Query(max_length=200, description="`next_page_token` of the page before; empty for the first.")
]
IdempotencyKey = Annotated[
    str,
    Header(alias="Idempotency-Key", min_length=1, max_length=200, description="The same key never acts twice."),
]
