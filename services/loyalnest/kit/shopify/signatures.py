"""Shopify's signatures, made and checked. Pure functions; every comparison takes constant time.

Sources: shopify.dev "Deliver webhooks through HTTPS" (base64 of HMAC-SHA256 over the raw body), "Authorization code
grant" (hex over the sorted query without `hmac`), "Authenticate app proxy requests" (hex over sorted pairs without
`signature`, repeated values joined by commas, nothing between the pairs).
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Sequence

Items = Iterable[tuple[str, str]]
"""A query as decoded (name, value) pairs in their order, such as `request.query_params.multi_items()`."""


def webhook_signature(secret: str, body: bytes) -> str:
    """What Shopify sends as `X-Shopify-Hmac-Sha256` with `body`."""
    return base64.b64encode(_mac(secret, body)).decode()


def webhook_is_genuine(secrets: Sequence[str], body: bytes, header: str | None) -> bool:
    """Whether `header` signs the raw `body` under any of `secrets` (the current one and, for an hour after a
    rotation, the previous). Empty secrets sign nothing.
    """
    given = (header or "").strip().encode()
    return _any_equal((webhook_signature(secret, body).encode() for secret in secrets if secret), given)


def oauth_signature(secret: str, items: Items) -> str:
    """The `hmac` of an OAuth redirect with these query `items`; `hmac` and `signature` among them do not count.

    A repeated or bracketed name (`ids[]`) is signed as Rails prints an array: `ids=["1", "2"]`.
    """
    pairs = sorted(f"{_escaped(name, key=True)}={_escaped(value)}" for name, value in _folded(items))
    return _mac(secret, "&".join(pairs).encode()).hex()


def sign_oauth_query(secret: str, items: Items) -> list[tuple[str, str]]:
    """`items` with their `hmac`, as Shopify redirects with them."""
    unsigned = [(name, value) for name, value in items if name != "hmac"]
    return [*unsigned, ("hmac", oauth_signature(secret, unsigned))]


def oauth_query_is_genuine(secret: str, query_items: Items) -> bool:
    """Whether the query carries exactly one `hmac`, and it is right. Try each secret while a rotation lasts."""
    items = list(query_items)
    given = [value for name, value in items if name == "hmac"]
    if len(given) != 1 or not secret:
        return False
    return _any_equal([oauth_signature(secret, items).encode()], given[0].encode())


def proxy_signature(secret: str, items: Items) -> str:
    """The `signature` of an app-proxy request with these query `items`; `signature` among them does not count."""
    values: dict[str, list[str]] = {}
    for name, value in items:
        if name != "signature":
            values.setdefault(name, []).append(value)
    pairs = sorted(f"{name}={','.join(several)}" for name, several in values.items())
    return _mac(secret, "".join(pairs).encode()).hex()


def proxy_is_genuine(secret: str, items: Items) -> bool:
    """Whether the query carries exactly one `signature`, and it is right.

    A shopper may add parameters of any name and Shopify signs them, too: take `shop` and `logged_in_customer_id` only
    if they come once each.
    """
    pairs = list(items)
    given = [value for name, value in pairs if name == "signature"]
    if len(given) != 1 or not secret:
        return False
    return _any_equal([proxy_signature(secret, pairs).encode()], given[0].encode())


def _mac(secret: str, message: bytes) -> bytes:
    return hmac.new(secret.encode(), message, hashlib.sha256).digest()


def _any_equal(expected: Iterable[bytes], given: bytes) -> bool:
    found = False
    for one in expected:  # all of them, so that the time does not tell which secret it was
        found |= hmac.compare_digest(one, given)
    return found


def _folded(items: Items) -> list[tuple[str, str]]:
    values: dict[str, list[str]] = {}
    arrays: set[str] = set()
    for written, value in items:
        name = written.removesuffix("[]")
        if name in ("hmac", "signature"):
            continue
        if name != written or name in values:
            arrays.add(name)
        values.setdefault(name, []).append(value)
    return [(name, _array(several) if name in arrays else several[0]) for name, several in values.items()]


def _array(values: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"


def _escaped(text: str, *, key: bool = False) -> str:
    """`%`, `&` and, in names, `=` in the way that keeps two different queries from signing alike."""
    text = text.replace("%", "%25").replace("&", "%26")
    return text.replace("=", "%3D") if key else text
