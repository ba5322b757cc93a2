"""The operator's metrics. No label ever names a program."""

from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

QUEUE_OLDEST = Gauge(
    "loyalnest_operator_queue_oldest_seconds", "For how long the program that waits longest has been due."
)
QUEUE_LENGTH = Gauge("loyalnest_operator_queue_length", "Programs that are due and wait for a worker.")
QUEUE_SECONDS = Histogram(
    "loyalnest_operator_queue_seconds", "For how long a program was due before it was taken.", buckets=SECONDS
)
RECONCILE_SECONDS = Histogram(
    "loyalnest_operator_reconcile_seconds", "Time of one phase of a reconcile.", ["phase"], buckets=SECONDS
)
API_CALLS = Counter("loyalnest_operator_api_calls_total", "Calls to the API server.", ["verb", "kind", "code"])
FAILURES = Counter("loyalnest_operator_failures_total", "Reconciles that did not come to their end.", ["reason"])
PROGRAMS = Gauge("loyalnest_operator_programs", "Programs by condition and its status.", ["condition", "status"])
LEADER = Gauge("loyalnest_operator_leader", "1 while this process leads, else 0.")
WATCH_AGE = Gauge(
    "loyalnest_operator_watch_age_seconds", "Time since the watches last brought news of the leader's own Lease."
)
