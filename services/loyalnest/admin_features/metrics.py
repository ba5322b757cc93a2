"""What admin_features counts."""

from prometheus_client import Counter, Gauge

MESSAGES = Counter(
    "loyalnest_messages_decided", "Messages that were decided, by what became of them.", ["kind", "outcome"]
)
WAITING = Gauge("loyalnest_messages_waiting", "Messages that are due and not decided yet.")
TEMPLATE_FAULTS = Counter(
    "loyalnest_template_faults", "Messages that a merchant's template could not render, sent by LoyalNest's own."
)
