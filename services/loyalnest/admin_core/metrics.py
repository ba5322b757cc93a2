"""Metrics of admin_core."""

from prometheus_client import Gauge

AUDIT_PROBLEMS = Gauge(
    "loyalnest_audit_problems", "What the newest verification of each merchant's audit log found wrong, in all."
)
GDPR_SECONDS_TO_DEADLINE = Gauge(
    "loyalnest_gdpr_seconds_to_deadline",
    "Until the nearest deadline of a GDPR request that is not done, below zero once it has passed; 30 days if none is.",
    ["kind"],
)
GDPR_REQUESTS = Gauge("loyalnest_gdpr_requests", "GDPR requests that have not ended.", ["kind", "status"])
