"""Metrics that every process has. No label ever holds a merchant, a customer or free text."""

from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

EVENTS_HANDLED = Counter("loyalnest_events_handled_total", "Events applied by a consumer.", ["service", "topic"])
EVENTS_RETRIED = Counter(
    "loyalnest_event_batches_retried_total", "Batches that failed and came again.", ["service", "topic"]
)
DEAD_LETTERS = Counter("loyalnest_dead_letters_total", "Events given up on, kept for a replay.", ["service", "topic"])
BATCH_SECONDS = Histogram("loyalnest_batch_seconds", "Time to apply one batch.", ["service", "topic"], buckets=SECONDS)
EVENT_AGE_SECONDS = Histogram(
    "loyalnest_event_age_seconds",
    "Age of the oldest event of a batch when it was applied.",
    ["service", "topic"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 3600.0),
)
CONSUMER_LAG = Gauge("loyalnest_consumer_lag_events", "Events published and not yet applied.", ["service", "topic"])
OUTBOX_RELAYED = Counter("loyalnest_outbox_relayed_total", "Events moved from the outbox to the bus.", ["service"])
OUTBOX_AGE_SECONDS = Gauge("loyalnest_outbox_oldest_seconds", "Age of the oldest event in the outbox.", ["service"])
DATABASE_SECONDS = Histogram(
    "loyalnest_database_seconds",
    "Time that a transaction took to get a connection (acquire), to begin and to commit, whatever its statements.",
    ["service", "step"],
    buckets=SECONDS,
)
DATABASE_CONNECTIONS = Gauge(
    "loyalnest_database_connections", "Connections of this process's pools by what they do.", ["state"]
)
DATABASE_CONNECTIONS_LIMIT = Gauge(
    "loyalnest_database_connections_limit", "Most connections that this process's pools open."
)
JOB_RUNS = Counter("loyalnest_job_runs_total", "Runs of a scheduled job.", ["service", "job", "outcome"])
JOB_ITEMS = Counter("loyalnest_job_items_total", "Things that a scheduled job did.", ["service", "job"])
RPC_SECONDS = Histogram(
    "loyalnest_rpc_seconds", "Time of one RPC at its server.", ["service", "method", "status"], buckets=SECONDS
)
RPC_RETRIES = Counter("loyalnest_rpc_retries_total", "RPCs tried again by the client.", ["service", "method"])
HTTP_SECONDS = Histogram(
    "loyalnest_http_seconds", "Time of one HTTP request.", ["route", "method", "status"], buckets=SECONDS
)
