"""GDPR requests, who has confirmed them, and what a request for data brought together."""

from loyalnest.kit.migrations import protect, run

revision = "0002"
down_revision = "0001"
SCHEMA = "admin_core"


def upgrade() -> None:
    run(
        # A customer's id is sealed, and found by a keyed hash; both go when nobody needs to be told again.
        """
        CREATE TABLE admin_core.gdpr_requests (
            merchant_id text NOT NULL,
            request_id uuid NOT NULL,
            kind text NOT NULL CHECK (kind IN ('customer_redact', 'customer_data', 'shop_redact')),
            source text NOT NULL CHECK (source IN ('shopify', 'uninstall', 'admin')),
            source_key text NOT NULL,
            status text NOT NULL CHECK (status IN ('scheduled', 'open', 'completed', 'cancelled', 'refused')),
            reason text NOT NULL,
            customer_sealed bytea,
            customer_hash bytea,
            requested_by text NOT NULL,
            requested_at timestamptz NOT NULL,
            starts_at timestamptz NOT NULL,
            due_at timestamptz NOT NULL,
            told_at timestamptz,
            tellings int NOT NULL DEFAULT 0,
            ended_at timestamptz,
            export_until timestamptz,
            PRIMARY KEY (merchant_id, request_id),
            UNIQUE (merchant_id, source_key),
            CHECK ((status IN ('scheduled', 'open')) = (ended_at IS NULL))
        )
        """,
        "CREATE INDEX gdpr_requests_to_do ON admin_core.gdpr_requests (starts_at) WHERE ended_at IS NULL",
        "CREATE INDEX gdpr_requests_ended ON admin_core.gdpr_requests (ended_at) WHERE customer_sealed IS NOT NULL",
        "CREATE INDEX gdpr_requests_of ON admin_core.gdpr_requests (merchant_id, customer_hash)",
        # One erasure of a shop at a time.
        """
        CREATE UNIQUE INDEX gdpr_requests_of_shop ON admin_core.gdpr_requests (merchant_id)
        WHERE kind = 'shop_redact' AND ended_at IS NULL
        """,
        """
        CREATE TABLE admin_core.gdpr_confirmations (
            merchant_id text NOT NULL,
            request_id uuid NOT NULL,
            service text NOT NULL,
            parts int NOT NULL,
            received int[] NOT NULL,
            counts jsonb NOT NULL,
            confirmed_at timestamptz,
            PRIMARY KEY (merchant_id, request_id, service)
        )
        """,
        # As the services sealed them, under the merchant's data key.
        """
        CREATE TABLE admin_core.gdpr_export_parts (
            merchant_id text NOT NULL,
            request_id uuid NOT NULL,
            service text NOT NULL,
            part int NOT NULL,
            sealed bytea NOT NULL,
            PRIMARY KEY (merchant_id, request_id, service, part)
        )
        """,
        # When the app was last installed and uninstalled, as far as has been told.
        """
        CREATE TABLE admin_core.installations (
            merchant_id text NOT NULL,
            installed_at timestamptz,
            uninstalled_at timestamptz,
            PRIMARY KEY (merchant_id)
        )
        """,
    )
    protect(SCHEMA, "gdpr_requests", rights="SELECT, INSERT, UPDATE")
    protect(SCHEMA, "gdpr_confirmations", rights="SELECT, INSERT, UPDATE")
    protect(SCHEMA, "gdpr_export_parts", rights="SELECT, INSERT, DELETE")
    protect(SCHEMA, "installations", rights="SELECT, INSERT, UPDATE")
