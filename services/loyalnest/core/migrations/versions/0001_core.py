"""Customers, program settings, and the log of imports."""

from loyalnest.kit.migrations import create_import_logs, create_inbox, create_outbox, create_roles, protect, run

revision = "0001"
down_revision = None
SCHEMA = "core"


def upgrade() -> None:
    create_roles(SCHEMA)
    _customers()
    _settings()
    create_import_logs(SCHEMA, "customer_import_logs")
    create_inbox(SCHEMA)
    create_outbox(SCHEMA)


def _customers() -> None:
    run(
        # Each personal field is sealed, has a keyed hash by which it is compared (e-mail and phone: found), and the
        # time of what it says. `key_version` is the oldest data key that any of the row's fields is sealed under.
        """
        CREATE TABLE core.customers (
            merchant_id text NOT NULL,
            customer_id bigint NOT NULL CHECK (customer_id > 0),
            email_sealed bytea,
            email_hash bytea,
            email_at timestamptz,
            phone_sealed bytea,
            phone_hash bytea,
            phone_at timestamptz,
            first_name_sealed bytea,
            first_name_hash bytea,
            first_name_at timestamptz,
            last_name_sealed bytea,
            last_name_hash bytea,
            last_name_at timestamptz,
            addresses_sealed bytea,
            addresses_hash bytea,
            addresses_at timestamptz,
            accepts_marketing boolean,
            marketing_at timestamptz,
            key_version bigint,
            source text NOT NULL,
            created_at timestamptz,
            first_seen_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            recency smallint NOT NULL DEFAULT 0 CHECK (recency BETWEEN 0 AND 5),
            frequency smallint NOT NULL DEFAULT 0 CHECK (frequency BETWEEN 0 AND 5),
            monetary smallint NOT NULL DEFAULT 0 CHECK (monetary BETWEEN 0 AND 5),
            segment text NOT NULL DEFAULT '',
            rfm_updated_at timestamptz,
            PRIMARY KEY (merchant_id, customer_id)
        ) WITH (fillfactor = 80)
        """,
        "CREATE INDEX customers_email ON core.customers (merchant_id, email_hash) WHERE email_hash IS NOT NULL",
        "CREATE INDEX customers_phone ON core.customers (merchant_id, phone_hash) WHERE phone_hash IS NOT NULL",
        "CREATE INDEX customers_segment ON core.customers (merchant_id, segment, customer_id)",
        """
        CREATE INDEX customers_key_version ON core.customers (merchant_id, key_version, customer_id)
            WHERE key_version IS NOT NULL
        """,
    )
    protect(SCHEMA, "customers", rights="SELECT, INSERT, UPDATE")


def _settings() -> None:
    run(
        # Append-only; the highest version is in force.
        """
        CREATE TABLE core.program_settings (
            merchant_id text NOT NULL,
            version int NOT NULL CHECK (version > 0),
            rules jsonb NOT NULL,
            rules_hash text NOT NULL,
            managed_by text NOT NULL CHECK (managed_by IN ('Dashboard', 'Resource')),
            changed_by text NOT NULL,
            changed_at timestamptz NOT NULL,
            note text NOT NULL,
            PRIMARY KEY (merchant_id, version)
        )
        """,
    )
    protect(SCHEMA, "program_settings", rights="SELECT, INSERT")
