"""Bonus campaigns, what they have given, and the customers' segments that some are for."""

from loyalnest.kit.migrations import protect, run

revision = "0006"
down_revision = "0005"
SCHEMA = "points"


def upgrade() -> None:
    run(
        # What campaigns gave of `awarded`, and how much of it was clawed back.
        "ALTER TABLE points.order_awards ADD COLUMN bonuses jsonb NOT NULL DEFAULT '[]'",
        # spent: what stands of all that was given, kept by the batches that award and claw back.
        """
        CREATE TABLE points.campaigns (
            merchant_id text NOT NULL,
            campaign_id uuid NOT NULL,
            version int NOT NULL,
            multiplier numeric NOT NULL CHECK (multiplier > 0),
            starts_at timestamptz NOT NULL,
            ends_at timestamptz NOT NULL,
            product_ids bigint[] NOT NULL,
            segments text[] NOT NULL,
            tiers text[] NOT NULL,
            budget_points bigint,
            ended boolean NOT NULL,
            spent bigint NOT NULL DEFAULT 0 CHECK (spent >= 0),
            PRIMARY KEY (merchant_id, campaign_id)
        )
        """,
        """
        CREATE TABLE points.customer_segments (
            merchant_id text NOT NULL,
            customer_id bigint NOT NULL,
            segment text NOT NULL,
            as_of timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, customer_id)
        )
        """,
    )
    protect(SCHEMA, "campaigns", rights="SELECT, INSERT, UPDATE")
    protect(SCHEMA, "customer_segments")
