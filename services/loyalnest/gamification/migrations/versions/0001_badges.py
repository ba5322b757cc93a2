"""Badges, who holds them, what they are earned by, and the leaderboard."""

from loyalnest.kit.migrations import (
    create_inbox,
    create_outbox,
    create_privacy_requests,
    create_program_rules,
    create_roles,
    protect,
    run,
)

revision = "0001"
down_revision = None
SCHEMA = "gamification"


def upgrade() -> None:
    create_roles(SCHEMA)
    _badges()
    _facts()
    _leaderboard()
    create_inbox(SCHEMA)
    create_outbox(SCHEMA)
    create_program_rules(SCHEMA)
    create_privacy_requests(SCHEMA)


def _badges() -> None:
    run(
        # folded_type is product_type as it is compared. A deleted badge goes when nobody holds it any more, which a
        # job sees to.
        """
        CREATE TABLE gamification.badges (
            merchant_id text NOT NULL,
            badge_key text NOT NULL,
            title text NOT NULL,
            description text NOT NULL,
            icon text NOT NULL,
            kind text NOT NULL CHECK (kind IN
                ('orders', 'referrals', 'weekly_streak', 'spend', 'category_spend', 'lifetime_points')),
            target numeric NOT NULL CHECK (target > 0),
            product_type text NOT NULL,
            folded_type text NOT NULL,
            product_ids bigint[] NOT NULL,
            enabled boolean NOT NULL,
            take_back_on_refund boolean NOT NULL,
            version int NOT NULL,
            deleted boolean NOT NULL DEFAULT false,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, badge_key)
        )
        """,
        "CREATE INDEX badges_deleted ON gamification.badges (merchant_id) WHERE deleted",
        # decided_by: rule, or hand: what an admin decided stays, whatever the rule says.
        """
        CREATE TABLE gamification.customer_badges (
            merchant_id text NOT NULL,
            customer_id bigint NOT NULL,
            badge_key text NOT NULL,
            held boolean NOT NULL,
            decided_by text NOT NULL CHECK (decided_by IN ('rule', 'hand')),
            awarded_at timestamptz,
            changed_at timestamptz NOT NULL,
            actor text NOT NULL DEFAULT '',
            reason text NOT NULL DEFAULT '',
            PRIMARY KEY (merchant_id, customer_id, badge_key),
            CHECK (awarded_at IS NOT NULL OR NOT held)
        )
        """,
        "CREATE INDEX holders ON gamification.customer_badges (merchant_id, badge_key, customer_id)",
        # One row for each merchant: its customers are looked at anew while requested > finished.
        """
        CREATE TABLE gamification.sweeps (
            merchant_id text NOT NULL,
            requested bigint NOT NULL,
            running bigint NOT NULL DEFAULT 0,
            finished bigint NOT NULL DEFAULT 0,
            after_customer bigint NOT NULL DEFAULT 0,
            PRIMARY KEY (merchant_id)
        )
        """,
        "CREATE INDEX sweeps_open ON gamification.sweeps (merchant_id) WHERE requested > finished",
    )
    for table in ("badges", "customer_badges", "sweeps"):
        protect(SCHEMA, table)


def _facts() -> None:
    run(
        # Everybody of whom anything is kept here; the row is what is locked while a customer is looked at, and counts
        # how often.
        """
        CREATE TABLE gamification.customers (
            merchant_id text NOT NULL,
            customer_id bigint NOT NULL,
            locked bigint NOT NULL DEFAULT 0,
            PRIMARY KEY (merchant_id, customer_id)
        ) WITH (fillfactor = 80)
        """,
        # placed_at, base and points are null until the order is known to have earned: its refund may come first.
        """
        CREATE TABLE gamification.orders (
            merchant_id text NOT NULL,
            order_id bigint NOT NULL,
            customer_id bigint NOT NULL,
            placed_at timestamptz,
            base numeric,
            points bigint,
            net_base numeric NOT NULL,
            cancelled boolean NOT NULL,
            PRIMARY KEY (merchant_id, order_id),
            CHECK ((placed_at IS NULL) = (base IS NULL) AND (placed_at IS NULL) = (points IS NULL))
        )
        """,
        "CREATE INDEX orders_of_customer ON gamification.orders (merchant_id, customer_id)",
        """
        CREATE TABLE gamification.order_products (
            merchant_id text NOT NULL,
            order_id bigint NOT NULL,
            product_id bigint NOT NULL,
            base numeric NOT NULL,
            PRIMARY KEY (merchant_id, order_id, product_id)
        )
        """,
        "CREATE INDEX orders_of_product ON gamification.order_products (merchant_id, product_id)",
        # What a change took back, by what the order was worth after it: the same change told twice is one row.
        """
        CREATE TABLE gamification.order_clawbacks (
            merchant_id text NOT NULL,
            order_id bigint NOT NULL,
            net_base numeric NOT NULL,
            cancelled boolean NOT NULL,
            points bigint NOT NULL,
            PRIMARY KEY (merchant_id, order_id, net_base, cancelled)
        )
        """,
        """
        CREATE TABLE gamification.grants (
            merchant_id text NOT NULL,
            transaction_id uuid NOT NULL,
            customer_id bigint NOT NULL,
            points bigint NOT NULL,
            earned_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, transaction_id)
        )
        """,
        "CREATE INDEX grants_of_customer ON gamification.grants (merchant_id, customer_id)",
        # completed_at and the points are null until the completion is known: its reversal may come first.
        """
        CREATE TABLE gamification.referrals (
            merchant_id text NOT NULL,
            referral_id text NOT NULL,
            referrer_id bigint NOT NULL,
            friend_id bigint NOT NULL,
            referrer_points bigint,
            friend_points bigint,
            completed_at timestamptz,
            reversed boolean NOT NULL,
            PRIMARY KEY (merchant_id, referral_id)
        )
        """,
        "CREATE INDEX referrals_of_referrer ON gamification.referrals (merchant_id, referrer_id)",
        "CREATE INDEX referrals_of_friend ON gamification.referrals (merchant_id, friend_id)",
        # told_at is Shopify's own time of the change; -infinity where only an order has named the product so far.
        """
        CREATE TABLE gamification.products (
            merchant_id text NOT NULL,
            product_id bigint NOT NULL,
            folded_type text NOT NULL,
            told_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, product_id)
        )
        """,
    )
    for table in ("customers", "orders", "order_products", "order_clawbacks", "grants", "referrals", "products"):
        protect(SCHEMA, table, rights="SELECT, INSERT, UPDATE")


def _leaderboard() -> None:
    run(
        # Only those who asked for it. The name is sealed; key_version is of the key that it needs.
        """
        CREATE TABLE gamification.leaderboard_entries (
            merchant_id text NOT NULL,
            customer_id bigint NOT NULL,
            name_sealed bytea NOT NULL,
            key_version int NOT NULL,
            joined_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, customer_id)
        )
        """,
        # period: all, or a month of the merchant's time zone such as 2026-11. Kept for those with an entry only.
        """
        CREATE TABLE gamification.leaderboard_points (
            merchant_id text NOT NULL,
            period text NOT NULL,
            customer_id bigint NOT NULL,
            points bigint NOT NULL,
            reached_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, period, customer_id)
        )
        """,
        """
        CREATE INDEX leaderboard_order
        ON gamification.leaderboard_points (merchant_id, period, points DESC, reached_at, customer_id)
        """,
        "CREATE INDEX leaderboard_of_customer ON gamification.leaderboard_points (merchant_id, customer_id)",
    )
    protect(SCHEMA, "leaderboard_entries")
    protect(SCHEMA, "leaderboard_points")
