"""Templates, settings, messages, what addresses want, and what providers told."""

from loyalnest.kit.migrations import (
    create_inbox,
    create_outbox,
    create_privacy_requests,
    create_program_rules,
    create_roles,
    protect,
    run,
)

revision = "0001"
down_revision = None
SCHEMA = "admin_features"


def upgrade() -> None:
    create_roles(SCHEMA)
    _templates()
    _messages()
    _addresses()
    create_program_rules(SCHEMA)
    create_inbox(SCHEMA)
    create_outbox(SCHEMA)
    create_privacy_requests(SCHEMA)


def _templates() -> None:
    run(
        # Append-only; the highest version is in force. `removed`: back to the template that comes with LoyalNest.
        """
        CREATE TABLE admin_features.email_templates (
            merchant_id text NOT NULL,
            event text NOT NULL,
            channel text NOT NULL CHECK (channel IN ('email', 'sms')),
            language text NOT NULL,
            version int NOT NULL CHECK (version > 0),
            removed boolean NOT NULL,
            subject text NOT NULL,
            text text NOT NULL,
            html text NOT NULL,
            changed_by text NOT NULL,
            changed_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, event, channel, language, version)
        )
        """,
        # Append-only; the highest version is in force.
        """
        CREATE TABLE admin_features.email_settings (
            merchant_id text NOT NULL,
            version int NOT NULL CHECK (version > 0),
            settings jsonb NOT NULL,
            changed_by text NOT NULL,
            changed_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, version)
        )
        """,
    )
    protect(SCHEMA, "email_templates", rights="SELECT, INSERT")
    protect(SCHEMA, "email_settings", rights="SELECT, INSERT")


def _messages() -> None:
    run(
        # `cause` is the business key: one fact makes one message of a kind, whatever else fails. customer_id: whom it
        # concerns; NULL for a test. `facts` are not personal; `sealed` is a friend's address until it is queued.
        """
        CREATE TABLE admin_features.email_events (
            merchant_id text NOT NULL,
            message_id uuid NOT NULL,
            kind text NOT NULL,
            channel text NOT NULL CHECK (channel IN ('email', 'sms')),
            customer_id bigint,
            cause text NOT NULL,
            facts jsonb NOT NULL,
            sealed bytea,
            status text NOT NULL CHECK
                (status IN ('pending', 'queued', 'sent', 'failed', 'bounced', 'complained', 'suppressed')),
            reason text NOT NULL DEFAULT '',
            language text NOT NULL DEFAULT '',
            template_version int NOT NULL DEFAULT 0,
            settings_version int NOT NULL DEFAULT 0,
            address_hash bytea,
            provider text NOT NULL DEFAULT '',
            provider_id text NOT NULL DEFAULT '',
            happened_at timestamptz NOT NULL,
            due_at timestamptz NOT NULL,
            queued_at timestamptz,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, message_id),
            UNIQUE (merchant_id, kind, cause)
        ) WITH (fillfactor = 80)
        """,
        "CREATE INDEX email_events_due ON admin_features.email_events (due_at) WHERE status = 'pending'",
        """
        CREATE INDEX email_events_of_customer
            ON admin_features.email_events (merchant_id, customer_id, message_id DESC)
        """,
        """
        CREATE INDEX email_events_queued ON admin_features.email_events (merchant_id, customer_id, queued_at)
            WHERE queued_at IS NOT NULL
        """,
        """
        CREATE INDEX email_events_invited ON admin_features.email_events (merchant_id, address_hash, queued_at)
            WHERE kind = 'referral_invitation' AND queued_at IS NOT NULL
        """,
        "CREATE INDEX email_events_created ON admin_features.email_events USING brin (created_at)",
        """
        CREATE INDEX email_events_provider ON admin_features.email_events (provider_id) WHERE provider_id <> ''
        """,
        # Customers of whom old orders are being told: what these cause is no news to anybody.
        """
        CREATE TABLE admin_features.history_marks (
            merchant_id text NOT NULL,
            customer_id bigint NOT NULL,
            seen_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, customer_id)
        )
        """,
        "CREATE INDEX history_marks_seen ON admin_features.history_marks (seen_at)",
    )
    protect(SCHEMA, "email_events")
    protect(SCHEMA, "history_marks")


def _addresses() -> None:
    run(
        # By the keyed hash of an address. customer_id: whose it was when it unsubscribed or complained, so that a new
        # address of theirs is left alone too.
        """
        CREATE TABLE admin_features.addresses (
            merchant_id text NOT NULL,
            address_hash bytea NOT NULL,
            customer_id bigint,
            unsubscribed_at timestamptz,
            bounced_at timestamptz,
            complained_at timestamptz,
            updated_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, address_hash)
        )
        """,
        """
        CREATE INDEX addresses_of_customer ON admin_features.addresses (merchant_id, customer_id)
            WHERE customer_id IS NOT NULL
        """,
        # What a provider told, by its id of the telling. merchant_id is always empty: providers know of no
        # merchants, and a bounce may come before the news that the message was sent. Nothing here names a person.
        """
        CREATE TABLE admin_features.provider_events (
            merchant_id text NOT NULL,
            provider text NOT NULL,
            event_id text NOT NULL,
            provider_id text NOT NULL,
            outcome text NOT NULL CHECK (outcome IN ('', 'bounced', 'complained')),
            received_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, provider, event_id)
        )
        """,
        """
        CREATE INDEX provider_events_waiting ON admin_features.provider_events (provider_id) WHERE outcome <> ''
        """,
        "CREATE INDEX provider_events_received ON admin_features.provider_events (received_at)",
    )
    protect(SCHEMA, "addresses")
    protect(SCHEMA, "provider_events")
