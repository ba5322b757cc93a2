"""VIP tiers, who is in which, what that is decided by, and bonus campaigns."""

from loyalnest.kit.migrations import (
    create_inbox,
    create_outbox,
    create_privacy_requests,
    create_program_rules,
    create_roles,
    protect,
    run,
)
from loyalnest.kit.roles import worker_role

revision = "0001"
down_revision = None
SCHEMA = "campaign"


def upgrade() -> None:
    create_roles(SCHEMA)
    create_program_rules(SCHEMA)
    _tiers()
    _members()
    _campaigns()
    create_inbox(SCHEMA)
    create_outbox(SCHEMA)
    create_privacy_requests(SCHEMA)


def _tiers() -> None:
    run(
        # level: 0 for the first. The rules say them; here they stand as rows, to be joined with the members.
        """
        CREATE TABLE campaign.vip_tiers (
            merchant_id text NOT NULL,
            level int NOT NULL CHECK (level >= 0),
            name text NOT NULL,
            threshold bigint NOT NULL,
            multiplier numeric NOT NULL CHECK (multiplier > 0),
            PRIMARY KEY (merchant_id, level)
        )
        """,
        # A merchant is here while its members are evaluated by new rules: those up to `after_customer` have been.
        """
        CREATE TABLE campaign.reevaluations (
            merchant_id text NOT NULL,
            after_customer bigint NOT NULL,
            PRIMARY KEY (merchant_id)
        )
        """,
    )
    protect(SCHEMA, "vip_tiers")
    protect(SCHEMA, "reevaluations")


def _members() -> None:
    run(
        # One row for each order, or other transaction, that gave points. earned_at is null while only a refund of it
        # is known, which may come first.
        """
        CREATE TABLE campaign.earnings (
            merchant_id text NOT NULL,
            source text NOT NULL,
            customer_id bigint NOT NULL,
            earned_at timestamptz,
            points bigint NOT NULL CHECK (points >= 0),
            clawed_back bigint NOT NULL CHECK (clawed_back >= 0),
            PRIMARY KEY (merchant_id, source)
        )
        """,
        "CREATE INDEX earnings_of_customer ON campaign.earnings (merchant_id, customer_id)",
        """
        CREATE TABLE campaign.memberships (
            merchant_id text NOT NULL,
            customer_id bigint NOT NULL,
            tier text NOT NULL DEFAULT '',
            threshold bigint NOT NULL DEFAULT 0,
            multiplier numeric NOT NULL DEFAULT 1,
            reached_on date,
            kept_through date,
            due_at timestamptz,
            changed_at timestamptz,
            PRIMARY KEY (merchant_id, customer_id)
        ) WITH (fillfactor = 80)
        """,
        "CREATE INDEX memberships_of_tier ON campaign.memberships (merchant_id, tier, customer_id)",
        "CREATE INDEX memberships_due ON campaign.memberships (due_at) WHERE due_at IS NOT NULL",
        """
        CREATE TABLE campaign.tier_changes (
            merchant_id text NOT NULL,
            change_id uuid NOT NULL,
            customer_id bigint NOT NULL,
            previous_tier text NOT NULL,
            tier text NOT NULL,
            multiplier numeric NOT NULL,
            cause text NOT NULL,
            changed_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, change_id)
        )
        """,
        "CREATE INDEX tier_changes_of_customer ON campaign.tier_changes (merchant_id, customer_id, change_id DESC)",
        f"GRANT UPDATE (customer_id) ON campaign.tier_changes TO {worker_role(SCHEMA)}",
    )
    protect(SCHEMA, "earnings", rights="SELECT, INSERT, UPDATE")
    protect(SCHEMA, "memberships")
    protect(SCHEMA, "tier_changes", rights="SELECT, INSERT")


def _campaigns() -> None:
    run(
        """
        CREATE TABLE campaign.campaigns (
            merchant_id text NOT NULL,
            campaign_id uuid NOT NULL,
            version int NOT NULL,
            name text NOT NULL,
            multiplier numeric NOT NULL CHECK (multiplier > 1),
            starts_at timestamptz NOT NULL,
            ends_at timestamptz NOT NULL,
            product_ids bigint[] NOT NULL,
            segments text[] NOT NULL,
            tiers text[] NOT NULL,
            budget_points bigint CHECK (budget_points > 0),
            ended boolean NOT NULL DEFAULT false,
            idempotency_key text NOT NULL,
            created_at timestamptz NOT NULL,
            changed_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, campaign_id),
            UNIQUE (merchant_id, idempotency_key),
            CHECK (starts_at < ends_at)
        )
        """
    )
    protect(SCHEMA, "campaigns", rights="SELECT, INSERT, UPDATE")
