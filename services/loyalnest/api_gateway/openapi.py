"""What the OpenAPI document says besides the routes: problems, the deliveries' path, and who may call."""

from typing import Any, Final

from fastapi.routing import APIRoute

from loyalnest.api_gateway.shopify_bodies import MAX_BODY_BYTES
from loyalnest.kit.http import problems

DESCRIPTION: Final = (
    "The HTTP edge of LoyalNest. Errors are problem documents (RFC 9457). A bearer token is of one merchant, and every "
    "call with it sees that merchant's data and no other's. `customer_id` is Shopify's numeric id, as a string."
)

_PUBLIC: Final = {
    400: "The request cannot be understood: the body is no JSON, or a value means nothing.",
    404: "There is no such thing, or none of this merchant's.",
    405: "The path has no such method; `Allow` has those it has.",
    413: "The body is too large.",
    414: "The URL is too long.",
    415: "The body is of another type than this takes.",
    422: "A field is missing or out of its bounds, or the state of things forbids it.",
    429: "Too many requests; `Retry-After` says for how many seconds.",
    431: "The headers are too large.",
    500: "A failure on our side; it has been logged.",
    503: "Something needed is away; the same request may succeed later.",
    504: "Something took too long.",
}
_PROTECTED: Final = _PUBLIC | {
    401: "The token is missing, malformed, expired, revoked or otherwise not valid.",
    403: "The token's role may not do this.",
    409: "This conflicts with what is there.",
}
_HEADERS: Final = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}},
    405: {"Allow": {"required": True, "schema": {"type": "string"}}},
    429: {"Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}}},
}


def responses(texts: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    """Problem responses as FastAPI and OpenAPI take them."""
    return {
        status: {
            "description": text,
            "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            **({"headers": _HEADERS[status]} if status in _HEADERS else {}),
        }
        for status, text in sorted(texts.items())
    }


PROTECTED: Final = responses(_PROTECTED)
"""Of routes behind the bearer token."""
PUBLIC: Final = responses(_PUBLIC | {status: _PROTECTED[status] for status in (401, 403, 409)})
"""Of the others: they have proofs of their own, such as a signature."""


def operation_id(route: APIRoute) -> str:
    """`points_history`: tag and function, which stay when a path changes."""
    tag = str(route.tags[0]) if route.tags else "gateway"
    return f"{tag}_{route.name}"


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's `document` with what it does not know."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = problems.SCHEMA
    for replaced in ("HTTPValidationError", "ValidationError"):
        schemas.pop(replaced, None)
    document["paths"]["/webhooks/{topic}"] = {"post": _delivery()}
    return document


def _delivery() -> dict[str, Any]:
    statuses = {status: _PUBLIC[status] for status in (405, 413, 414, 429, 431, 500, 503)} | {
        400: "The body or a header cannot be understood.",
        401: "The signature is missing or wrong.",
        404: "No merchant has this shop domain.",
        408: "The body did not come in time.",
    }
    done = {
        "description": "The delivery is durable.",
        "content": {"application/json": {"schema": {"type": "object", "maxProperties": 0}}},
    }
    return {
        "operationId": "webhooks_receive",
        "tags": ["webhooks"],
        "summary": "A delivery from Shopify",
        "description": "Names that begin with `shopify-` instead of `X-Shopify-` do as well. The same delivery twice "
        f"is one event. At most {MAX_BODY_BYTES} bytes.",
        "security": [],
        "parameters": [
            {
                "name": "topic",
                "in": "path",
                "required": True,
                "description": "Shopify's topic, its slash included. One that is not known is acknowledged and kept.",
                "schema": {"type": "string", "examples": ["orders/create"]},
            },
            _header(
                "X-Shopify-Hmac-Sha256", "base64 of HMAC-SHA256 over the raw body with the app's secret", required=True
            ),
            _header("X-Shopify-Shop-Domain", "the shop's myshopify.com domain", required=True),
            _header("X-Shopify-Webhook-Id", "identity of the delivery"),
            _header("X-Shopify-Topic", "if given, the topic of the path"),
            _header("X-Shopify-Triggered-At", "when it was triggered, RFC 3339"),
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object", "description": "Shopify's own body."}}},
        },
        "responses": {
            str(status): each for status, each in sorted({200: done, **responses(statuses)}.items(), key=_key)
        },
    }


def _key(entry: tuple[int | str, Any]) -> int:
    return int(entry[0])


def _header(name: str, description: str, *, required: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": required,
        "description": description,
        "schema": {"type": "string"},
    }
