"""Metrics of rfm."""

from prometheus_client import Gauge, Histogram

REFRESH_SECONDS = Histogram(
    "loyalnest_rfm_refresh_seconds",
    "Time to refresh the scores of one merchant.",
    buckets=(0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
REFRESH_OVERDUE_SECONDS = Gauge(
    "loyalnest_rfm_refresh_overdue_seconds", "For how long the refresh that waits longest has been due; 0 if none is."
)
