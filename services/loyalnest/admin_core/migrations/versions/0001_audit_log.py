"""The audit log: a chain per merchant to which rows are only ever added."""

from loyalnest.kit.migrations import create_inbox, create_outbox, create_privacy_requests, create_roles, protect, run

revision = "0001"
down_revision = None
SCHEMA = "admin_core"


def upgrade() -> None:
    create_roles(SCHEMA)
    run(
        # What names a customer is in `sealed`, under a key that goes with the customer's row in `audit_subjects`.
        """
        CREATE TABLE admin_core.audit_logs (
            merchant_id text NOT NULL,
            sequence bigint NOT NULL CHECK (sequence > 0),
            event_id uuid NOT NULL,
            at timestamptz NOT NULL,
            actor text NOT NULL,
            role text NOT NULL,
            action text NOT NULL,
            subject text NOT NULL,
            before jsonb NOT NULL,
            after jsonb NOT NULL,
            subjects uuid[] NOT NULL,
            sealed bytea NOT NULL,
            hash bytea NOT NULL,
            PRIMARY KEY (merchant_id, sequence),
            UNIQUE (merchant_id, event_id)
        )
        """,
        "CREATE INDEX audit_logs_by_actor ON admin_core.audit_logs (merchant_id, actor, sequence)",
        "CREATE INDEX audit_logs_by_action ON admin_core.audit_logs (merchant_id, action, sequence)",
        "CREATE INDEX audit_logs_by_subject ON admin_core.audit_logs (merchant_id, subject, sequence)",
        # Which entries name a customer.
        """
        CREATE TABLE admin_core.audit_mentions (
            merchant_id text NOT NULL,
            subject_id uuid NOT NULL,
            sequence bigint NOT NULL,
            PRIMARY KEY (merchant_id, subject_id, sequence)
        )
        """,
        # The end of each merchant's chain: whoever adds to it locks this first.
        """
        CREATE TABLE admin_core.audit_heads (
            merchant_id text NOT NULL,
            sequence bigint NOT NULL,
            hash bytea NOT NULL,
            PRIMARY KEY (merchant_id)
        )
        """,
        """
        CREATE TABLE admin_core.audit_subjects (
            merchant_id text NOT NULL,
            subject_id uuid NOT NULL,
            customer_hash bytea NOT NULL,
            salt bytea NOT NULL,
            PRIMARY KEY (merchant_id, subject_id),
            UNIQUE (merchant_id, customer_hash)
        )
        """,
        """
        CREATE TABLE admin_core.audit_verifications (
            merchant_id text NOT NULL,
            verified_at timestamptz NOT NULL,
            problems int NOT NULL CHECK (problems >= 0),
            sequence bigint NOT NULL,
            hash bytea NOT NULL,
            PRIMARY KEY (merchant_id)
        )
        """,
    )
    protect(SCHEMA, "audit_logs", rights="SELECT, INSERT")
    protect(SCHEMA, "audit_mentions", rights="SELECT, INSERT")
    protect(SCHEMA, "audit_heads", rights="SELECT, INSERT, UPDATE")
    protect(SCHEMA, "audit_subjects", rights="SELECT, INSERT, DELETE")
    protect(SCHEMA, "audit_verifications", rights="SELECT, INSERT, UPDATE")
    create_inbox(SCHEMA)
    create_outbox(SCHEMA)
    create_privacy_requests(SCHEMA)
