"""Which referrals were reversed, so that what comes late of them gives nothing."""

from loyalnest.kit.migrations import protect, run

revision = "0005"
down_revision = "0004"
SCHEMA = "points"


def upgrade() -> None:
    run(
        # One row a referral, made by its completion or its reversal, whichever comes first. It names no customer.
        """
        CREATE TABLE points.referral_rewards (
            merchant_id text NOT NULL,
            referral_id text NOT NULL,
            reversed_at timestamptz,
            PRIMARY KEY (merchant_id, referral_id)
        )
        """
    )
    protect(SCHEMA, "referral_rewards", rights="SELECT, INSERT, UPDATE")
