"""The queue: tasks, their attempts, and whom they concern."""

from loyalnest.kit.migrations import (
    create_inbox,
    create_outbox,
    create_privacy_requests,
    create_roles,
    protect,
    run,
)

revision = "0001"
down_revision = None
SCHEMA = "event_tracking"


def upgrade() -> None:
    create_roles(SCHEMA)
    _tasks()
    _recipients()
    create_inbox(SCHEMA)
    create_outbox(SCHEMA)
    create_privacy_requests(SCHEMA)


def _tasks() -> None:
    run(
        # `attempt` counts claims and fences: what a worker does is taken only with the number that it was given.
        # `failures` are the attempts that count against `max_attempts`. `open_provider` may have taken the message
        # without anybody knowing; it knows a repeat as such until `repeat_until`. Dead row versions pile up while
        # an old snapshot is pinned, so vacuum comes early, and no index of the claims holds a task that has ended.
        """
        CREATE TABLE event_tracking.queue_tasks (
            merchant_id text NOT NULL,
            task_id uuid NOT NULL,
            kind text NOT NULL,
            unique_key text NOT NULL,
            customer_id bigint,
            reason text NOT NULL,
            priority smallint NOT NULL CHECK (priority BETWEEN 0 AND 9),
            status text NOT NULL CHECK (status IN ('waiting', 'running', 'done', 'failed', 'cancelled')),
            due_at timestamptz NOT NULL,
            expires_at timestamptz NOT NULL,
            sealed bytea,
            attempt int NOT NULL DEFAULT 0,
            failures int NOT NULL DEFAULT 0,
            max_attempts int NOT NULL CHECK (max_attempts > 0),
            started_at timestamptz,
            lease_until timestamptz,
            open_provider text NOT NULL DEFAULT '',
            repeat_until timestamptz,
            provider text NOT NULL DEFAULT '',
            provider_id text NOT NULL DEFAULT '',
            error text NOT NULL DEFAULT '',
            created_at timestamptz NOT NULL,
            finished_at timestamptz,
            PRIMARY KEY (merchant_id, task_id),
            UNIQUE (merchant_id, kind, unique_key),
            CHECK ((status = 'running') = (lease_until IS NOT NULL)),
            CHECK ((status IN ('done', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
            CHECK (finished_at IS NULL OR sealed IS NULL)
        ) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500)
        """,
        """
        CREATE INDEX queue_tasks_waiting ON event_tracking.queue_tasks (kind, merchant_id, priority, due_at, task_id)
            WHERE status = 'waiting'
        """,
        # The conditions of the next ones say "waiting" in other words, so that no claim is planned with them: before
        # the first ANALYZE they look as good as the index above, and a claim would read and sort all that is due.
        """
        CREATE INDEX queue_tasks_due ON event_tracking.queue_tasks (kind, due_at)
            WHERE finished_at IS NULL AND lease_until IS NULL
        """,
        "CREATE INDEX queue_tasks_leased ON event_tracking.queue_tasks (lease_until) WHERE status = 'running'",
        """
        CREATE INDEX queue_tasks_finished ON event_tracking.queue_tasks (finished_at) WHERE finished_at IS NOT NULL
        """,
        """
        CREATE INDEX queue_tasks_live ON event_tracking.queue_tasks (merchant_id, task_id) WHERE finished_at IS NULL
        """,
        """
        CREATE INDEX queue_tasks_ended ON event_tracking.queue_tasks (merchant_id, status, task_id)
            WHERE finished_at IS NOT NULL
        """,
        """
        CREATE INDEX queue_tasks_of_customer ON event_tracking.queue_tasks (merchant_id, customer_id, task_id)
            WHERE customer_id IS NOT NULL
        """,
        """
        CREATE TABLE event_tracking.task_attempts (
            merchant_id text NOT NULL,
            task_id uuid NOT NULL,
            attempt int NOT NULL,
            provider text NOT NULL,
            outcome text NOT NULL,
            error text NOT NULL,
            started_at timestamptz NOT NULL,
            ended_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, task_id, attempt),
            FOREIGN KEY (merchant_id, task_id)
                REFERENCES event_tracking.queue_tasks (merchant_id, task_id) ON DELETE CASCADE
        )
        """,
    )
    protect(SCHEMA, "queue_tasks")
    protect(SCHEMA, "task_attempts", rights="SELECT, INSERT, DELETE")


def _recipients() -> None:
    run(
        # Whoever makes a task and whoever redacts its customer change the same row, so neither misses the other.
        """
        CREATE TABLE event_tracking.recipients (
            merchant_id text NOT NULL,
            customer_id bigint NOT NULL,
            told_at timestamptz NOT NULL,
            redacted_at timestamptz,
            PRIMARY KEY (merchant_id, customer_id)
        )
        """,
        "CREATE INDEX recipients_told ON event_tracking.recipients (told_at)",
    )
    protect(SCHEMA, "recipients")
