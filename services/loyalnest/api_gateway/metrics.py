"""The gateway's metrics. A label holds nothing that a caller chose: topics and routes are those that are known."""

from typing import Final

from prometheus_client import Counter, Gauge

from loyalnest.api_gateway.events import Topic

WEBHOOKS = Counter("loyalnest_webhooks_total", "Deliveries from Shopify by what became of them.", ["topic", "outcome"])
WEBHOOK_BYTES = Counter("loyalnest_webhook_bytes_total", "Bytes of the deliveries that were accepted.")
LIMITS_SKIPPED = Counter(
    "loyalnest_rate_limits_skipped_total", "Requests let through uncounted because Redis did not answer."
)
LOOKUPS = Counter("loyalnest_merchant_lookups_total", "Questions to auth about a shop, by outcome.", ["outcome"])

RECONCILED = Counter(
    "loyalnest_reconciled_orders_total", "Orders compared with Shopify's own, by what came of it.", ["outcome"]
)
RECONCILED_UP_TO = Gauge(
    "loyalnest_reconciled_up_to_timestamp_seconds",
    "When the changes were made up to which the merchant that is furthest behind was compared; 0 before any was.",
)

COMPLIANCE_TOPICS: Final = frozenset({"customers/data_request", "customers/redact", "shop/redact"})
OTHER: Final = "other"

_KNOWN: Final = frozenset({*Topic, *COMPLIANCE_TOPICS, "app/uninstalled"})


def topic_label(topic: str) -> str:
    """`topic` if it is one that is known here, else "other"."""
    return str(topic) if topic in _KNOWN else OTHER
