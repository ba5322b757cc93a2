"""The language of customers, as their checkouts told it."""

from loyalnest.kit.migrations import run

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run(
        "ALTER TABLE core.customers ADD COLUMN locale text, ADD COLUMN locale_at timestamptz",
        # NOT VALID: no row has one yet, so there is nothing to look through.
        "ALTER TABLE core.customers ADD CHECK (redacted_at IS NULL OR locale IS NULL) NOT VALID",
    )
