"""Merchants' webhooks: subscriptions, and tasks that keep their content so that they can be delivered again."""

from loyalnest.kit.migrations import protect, run

revision = "0002"
down_revision = "0001"
SCHEMA = "event_tracking"


def upgrade() -> None:
    run(
        # `secret` and `previous_secret` are sealed. `failing_since` is of the first failure after the last success.
        """
        CREATE TABLE event_tracking.webhook_subscriptions (
            merchant_id text NOT NULL,
            subscription_id uuid NOT NULL,
            url text NOT NULL,
            topics text[] NOT NULL CHECK (cardinality(topics) > 0),
            enabled boolean NOT NULL,
            disabled_reason text NOT NULL DEFAULT '',
            secret bytea NOT NULL,
            previous_secret bytea,
            previous_until timestamptz,
            failing_since timestamptz,
            failing_told boolean NOT NULL DEFAULT false,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, subscription_id)
        )
        """,
        """
        CREATE INDEX webhook_subscriptions_failing ON event_tracking.webhook_subscriptions (failing_since)
            WHERE failing_since IS NOT NULL
        """,
        "ALTER TABLE event_tracking.queue_tasks ADD COLUMN subscription_id uuid",
        """
        CREATE INDEX queue_tasks_of_subscription ON event_tracking.queue_tasks (merchant_id, subscription_id, task_id)
            WHERE subscription_id IS NOT NULL
        """,
        # What 0001 said of all tasks is true of all but webhooks. Without the old rows being read: they keep it.
        "ALTER TABLE event_tracking.queue_tasks DROP CONSTRAINT queue_tasks_check2",
        """
        ALTER TABLE event_tracking.queue_tasks ADD CONSTRAINT queue_tasks_erased
            CHECK (finished_at IS NULL OR sealed IS NULL OR kind = 'webhook') NOT VALID
        """,
    )
    protect(SCHEMA, "webhook_subscriptions")
