"""Redaction of customers."""

from loyalnest.kit.migrations import create_privacy_requests, run
from loyalnest.kit.roles import worker_role

revision = "0002"
down_revision = "0001"
SCHEMA = "core"


def upgrade() -> None:
    run(
        "ALTER TABLE core.customers ADD COLUMN redacted_at timestamptz",
        # What a customer leaves is a row without anything personal; of a whole shop nothing is left.
        """
        ALTER TABLE core.customers ADD CHECK (redacted_at IS NULL OR num_nonnulls(
            email_sealed, email_hash, phone_sealed, phone_hash, first_name_sealed, first_name_hash, last_name_sealed,
            last_name_hash, addresses_sealed, addresses_hash, accepts_marketing, created_at) = 0)
        """,
        f"GRANT DELETE ON core.customers TO {worker_role(SCHEMA)}",
    )
    create_privacy_requests(SCHEMA)
