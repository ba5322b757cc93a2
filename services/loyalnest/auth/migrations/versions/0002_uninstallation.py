"""Installations and uninstallations, and keys that wait for a redacted shop to come back."""

from loyalnest.kit.migrations import create_inbox, create_privacy_requests, run

revision = "0002"
down_revision = "0001"
SCHEMA = "auth"


def upgrade() -> None:
    run(
        # `redacting`: the shop's redaction is under way, and nobody gets in until the keys are destroyed; then it may
        # come back from `reopens_at` on.
        """
        ALTER TABLE auth.merchants
            ADD COLUMN installed_at timestamptz,
            ADD COLUMN uninstalled_at timestamptz,
            ADD COLUMN redacting boolean NOT NULL DEFAULT false,
            ADD COLUMN reopens_at timestamptz
        """,
        # `parked`: made when a redacted shop's keys were destroyed. Only auth's own secrets of the app are sealed under
        # them, and no service gets them before the shop has installed the app again.
        "ALTER TABLE auth.data_keys ADD COLUMN parked boolean NOT NULL DEFAULT false",
    )
    create_inbox(SCHEMA)
    create_privacy_requests(SCHEMA)
