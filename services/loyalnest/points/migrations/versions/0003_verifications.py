"""When each merchant's ledger was last verified, and how many mismatches that found."""

from loyalnest.kit.migrations import protect, run

revision = "0003"
down_revision = "0002"
SCHEMA = "points"


def upgrade() -> None:
    run(
        """
        CREATE TABLE points.verifications (
            merchant_id text NOT NULL,
            verified_at timestamptz NOT NULL,
            mismatches int NOT NULL CHECK (mismatches >= 0),
            PRIMARY KEY (merchant_id)
        )
        """
    )
    protect(SCHEMA, "verifications", rights="SELECT, INSERT, UPDATE")
