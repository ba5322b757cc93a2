"""`POST /webhooks/{topic}`: takes Shopify's deliveries.

It reads the body, knows the merchant, checks the signature, counts the rate, seals what is personal and makes the
delivery durable; only then does it answer 200. It does nothing else.

Those with a wrong signature have a limit of their own, by the address they come from, and use up nothing of the
shop's. Behind a proxy they all come from the proxy's address, which does no harm: what is genuine is never counted.

Uninstalled and suspended merchants' deliveries are taken as well: `shop/redact` comes 48 hours after an uninstall, and
a suspension that is lifted must not have lost a refund. Who consumes a delivery decides what it means then.
"""

import asyncio
import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog
from starlette.types import Receive, Scope, Send

from loyalnest.api_gateway.deliveries import Deliveries, UnknownShop
from loyalnest.api_gateway.limits import Limit, Limiter
from loyalnest.api_gateway.merchants import Merchant, Merchants
from loyalnest.api_gateway.metrics import WEBHOOK_BYTES, WEBHOOKS, topic_label
from loyalnest.api_gateway.shopify_bodies import MAX_BODY_BYTES
from loyalnest.kit.bus import EventBus
from loyalnest.kit.database import OUTAGES
from loyalnest.kit.errors import (
    InvalidInput,
    LoyalNestError,
    NotFound,
    RateLimited,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from loyalnest.kit.events import Event
from loyalnest.kit.http import problems
from loyalnest.kit.http.body import ClientGone, SlowBody, read_body
from loyalnest.kit.shopify.signatures import webhook_is_genuine
from loyalnest.kit.shopify.values import EARLIEST, LATEST

log = structlog.get_logger(__name__)

PREFIX: Final = "/webhooks/"
BODY_SECONDS: Final = 10.0
"""Shopify gives a delivery 5 seconds in all."""
DURABLE_SECONDS: Final = 4.5
"""After this Shopify has given up. What was written by then is found by its id when the delivery comes again."""
MAX_TOPIC: Final = 100

_TOPIC: Final = re.compile(r"[a-z0-9_.-]+(?:/[a-z0-9_.-]+)*")
_NAMES: Final = {
    prefix + name: name.decode()
    for name in (b"hmac-sha256", b"shop-domain", b"webhook-id", b"topic", b"triggered-at")
    for prefix in (b"x-shopify-", b"shopify-")
}
_DONE: Final = (
    {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"2")],
    },
    {"type": "http.response.body", "body": b"{}"},
)


class BadSignature(Unauthenticated):
    """The delivery is not signed by the shop's app."""


class TooManyForged(RateLimited):
    """More of the shop's deliveries from one address were badly signed than a mistake would explain."""


class Webhooks:
    """The ASGI application below `/webhooks/`."""

    def __init__(
        self, merchants: Merchants, limiter: Limiter, limit: Limit, forged: Limit, deliveries: Deliveries, bus: EventBus
    ) -> None:
        """limit: of a shop's genuine deliveries to a topic. forged: of those with a wrong signature from an address."""
        self._merchants = merchants
        self._limiter = limiter
        self._limit = limit
        self._forged = forged
        self._deliveries = deliveries
        self._bus = bus

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        topic: str = scope["path"][len(PREFIX) :]
        if scope["method"] != "POST":
            refusal = problems.problem(405, "http", "Method not allowed", "Deliveries are posted.")
            refusal.headers["Allow"] = "POST"
            await refusal(scope, receive, send)
            return
        try:
            await self._take(topic, scope, receive)
        except ClientGone:
            _count(topic, "aborted")
        except LoyalNestError as error:
            _count(topic, _outcome(error))
            response = problems.problem_of(error)
            if isinstance(error, BadSignature):
                response.headers["WWW-Authenticate"] = 'Shopify-Hmac header="X-Shopify-Hmac-Sha256"'
            if isinstance(error, SlowBody):
                response.headers["Connection"] = "close"
            await response(scope, receive, send)
        except Exception:
            _count(topic, "failed")
            log.exception("webhook.failed", topic=topic_label(topic))
            failed = problems.problem(500, "internal", "Internal error", "It has been logged; send it again.")
            await failed(scope, receive, send)
        else:
            _count(topic, "accepted")
            for message in _DONE:
                await send(dict(message))

    async def _take(self, topic: str, scope: Scope, receive: Receive) -> None:
        """Make the delivery durable, or raise why not."""
        headers = _headers(scope)
        signature, shop = headers.get("hmac-sha256"), headers.get("shop-domain")
        if not signature:
            raise BadSignature("X-Shopify-Hmac-Sha256 is missing.")
        if not shop:
            raise InvalidInput("X-Shopify-Shop-Domain is missing.")
        try:
            merchant = await self._merchants.of_shop(shop)
        except NotFound as error:
            raise UnknownShop(error.detail) from None
        body = await read_body(scope, receive, MAX_BODY_BYTES, BODY_SECONDS)
        if not webhook_is_genuine(merchant.secrets, body, signature):
            await self._count_forged(merchant, scope)
            raise BadSignature("X-Shopify-Hmac-Sha256 does not sign this body with a secret of this shop's app.")
        _check_topic(topic, headers.get("topic"))
        await self._limiter.count(merchant.merchant_id, f"webhooks/{topic}", self._limit)
        triggered_at = _time(headers.get("triggered-at", ""))
        await self._publish(
            await self._deliveries.event(merchant.merchant_id, topic, body, headers.get("webhook-id", ""), triggered_at)
        )
        WEBHOOK_BYTES.inc(len(body))

    async def _count_forged(self, merchant: Merchant, scope: Scope) -> None:
        address = scope["client"][0] if scope.get("client") else "unknown"
        try:
            await self._limiter.count(merchant.merchant_id, f"forged/{address}", self._forged)
        except RateLimited as error:
            raise TooManyForged(
                f"More than {self._forged.per_minute} deliveries a minute for this shop came from your address with a "
                "wrong X-Shopify-Hmac-Sha256.",
                error.retry_after,
            ) from None

    async def _publish(self, event: Event) -> None:
        try:
            async with asyncio.timeout(DURABLE_SECONDS):
                await self._bus.publish((event,))
        except TooLarge:  # what the bus can carry, which is its own to say
            raise
        except OUTAGES as error:
            log.warning("webhook.not_durable", error=type(error).__name__)
            raise Unavailable("The delivery could not be stored; send it again.") from error


def _headers(scope: Scope) -> dict[str, str]:
    """Shopify's headers by their name without its prefix; `X-Shopify-…` before `Shopify-…`."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        known = _NAMES.get(name)
        if known is not None and (known not in found or name[:2] == b"x-"):
            found[known] = value.decode("latin-1").strip()
    return found


def _check_topic(topic: str, header: str | None) -> None:
    if len(topic) > MAX_TOPIC or not _TOPIC.fullmatch(topic):
        raise InvalidInput("The path must end in a topic such as orders/create.")
    if header and header != topic:
        raise InvalidInput("X-Shopify-Topic names another topic than the path.")


def _time(text: str) -> datetime | None:
    """The moment, or None: a delivery is not refused for when it says it was sent."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None and EARLIEST <= moment < LATEST else None


_OUTCOMES: Final[tuple[tuple[type[LoyalNestError], str], ...]] = (
    (BadSignature, "bad_signature"),
    (TooManyForged, "bad_signature_limited"),
    (UnknownShop, "unknown_shop"),
    (SlowBody, "slow"),
)


def _outcome(error: LoyalNestError) -> str:
    """`invalid_input`, `too_large`, `rate_limited`, `unavailable` and so on, by the error's own name."""
    return next((name for kind, name in _OUTCOMES if isinstance(error, kind)), error.slug.replace("-", "_"))


_counters: dict[tuple[str, str], Callable[[], None]] = {}


def _count(topic: str, outcome: str) -> None:
    key = (topic_label(topic), outcome)
    if key not in _counters:
        _counters[key] = WEBHOOKS.labels(*key).inc
    _counters[key]()
