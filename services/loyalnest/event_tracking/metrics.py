"""Metrics of event_tracking."""

from prometheus_client import Counter, Gauge

TASKS = Gauge(
    "loyalnest_tasks",
    "Tasks that have not ended, by what they wait for: due, later or running. Above 100,000 it counts no further.",
    ["kind", "state"],
)
TASKS_OLDEST_DUE_SECONDS = Gauge(
    "loyalnest_tasks_oldest_due_seconds",
    "For how long the task that waits longest has been due; 0 if none is.",
    ["kind"],
)
WEBHOOKS_FAILING = Gauge(
    "loyalnest_webhook_subscriptions_failing",
    "Merchants' webhooks that nothing was delivered to for an hour of trying.",
)
TASK_OUTCOMES = Counter(
    "loyalnest_task_outcomes_total",
    "Ends of attempts (delivered, rejected, not_taken, throttled, unknown, lost) and of tasks without one (cancelled).",
    ["kind", "provider", "outcome"],
)
