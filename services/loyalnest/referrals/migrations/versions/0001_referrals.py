"""Codes, shares and clicks; who buyers are and which of their orders was the first; and what became of friends."""

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
SCHEMA = "referrals"


def upgrade() -> None:
    create_roles(SCHEMA)
    _links()
    _buyers()
    _referrals()
    create_program_rules(SCHEMA)
    create_privacy_requests(SCHEMA)
    create_inbox(SCHEMA)
    create_outbox(SCHEMA)


def _links() -> None:
    run(
        # Whoever uses a code in a transaction writes its row, so that a redaction at the same time begins again.
        """
        CREATE TABLE referrals.referral_codes (
            merchant_id text NOT NULL,
            customer_id bigint NOT NULL,
            code text,
            created_at timestamptz NOT NULL,
            used_at timestamptz,
            PRIMARY KEY (merchant_id, customer_id),
            UNIQUE (merchant_id, code),
            CHECK ((code IS NULL) = (customer_id < 0))
        ) WITH (fillfactor = 70)
        """,
        # friend_hash: of the address, so that nobody is invited twice by one customer.
        """
        CREATE TABLE referrals.referral_shares (
            merchant_id text NOT NULL,
            share_id uuid NOT NULL,
            customer_id bigint NOT NULL,
            channel text NOT NULL CHECK (channel IN ('email', 'sms')),
            friend_hash bytea,
            shared_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, share_id),
            UNIQUE (merchant_id, customer_id, channel, friend_hash)
        )
        """,
        "CREATE INDEX referral_shares_of_friend ON referrals.referral_shares (merchant_id, friend_hash)",
        """
        CREATE TABLE referrals.referral_clicks (
            merchant_id text NOT NULL,
            customer_id bigint NOT NULL,
            channel text NOT NULL CHECK (channel IN ('link', 'email', 'sms')),
            day date NOT NULL,
            clicks bigint NOT NULL CHECK (clicks > 0),
            PRIMARY KEY (merchant_id, customer_id, channel, day)
        ) WITH (fillfactor = 70)
        """,
    )
    protect(SCHEMA, "referral_codes", rights="SELECT, INSERT, UPDATE")
    protect(SCHEMA, "referral_shares", rights="SELECT, INSERT, UPDATE")
    protect(SCHEMA, "referral_clicks", rights="SELECT, INSERT, UPDATE")


def _buyers() -> None:
    run(
        """
        CREATE TABLE referrals.buyers (
            merchant_id text NOT NULL,
            customer_id bigint NOT NULL,
            first_order_id bigint,
            first_placed_at timestamptz,
            redacted_at timestamptz,
            seen_at timestamptz,
            PRIMARY KEY (merchant_id, customer_id),
            CHECK ((first_order_id IS NULL) = (first_placed_at IS NULL))
        ) WITH (fillfactor = 70)
        """,
        """
        CREATE TABLE referrals.identities (
            merchant_id text NOT NULL,
            kind text NOT NULL CHECK (kind IN ('email', 'phone', 'address')),
            hash bytea NOT NULL,
            customer_id bigint NOT NULL,
            PRIMARY KEY (merchant_id, kind, hash, customer_id)
        )
        """,
        "CREATE INDEX identities_of_customer ON referrals.identities (merchant_id, customer_id)",
        # Orders that came by a code, and such of which only a refund is known: that may come first.
        """
        CREATE TABLE referrals.orders (
            merchant_id text NOT NULL,
            order_id bigint NOT NULL,
            customer_id bigint,
            referrer_id bigint,
            channel text NOT NULL DEFAULT 'link',
            placed_at timestamptz,
            base numeric,
            refunded_base numeric NOT NULL DEFAULT 0,
            paid boolean NOT NULL DEFAULT false,
            cancelled boolean NOT NULL DEFAULT false,
            PRIMARY KEY (merchant_id, order_id),
            CHECK (num_nulls(customer_id, referrer_id, placed_at) IN (0, 3)),
            CHECK (NOT paid OR (base IS NOT NULL AND customer_id IS NOT NULL))
        ) WITH (fillfactor = 80)
        """,
        "CREATE INDEX orders_of_customer ON referrals.orders (merchant_id, customer_id) WHERE customer_id IS NOT NULL",
        "CREATE INDEX orders_of_referrer ON referrals.orders (merchant_id, referrer_id) WHERE referrer_id IS NOT NULL",
        """
        CREATE TABLE referrals.order_refunds (
            merchant_id text NOT NULL,
            order_id bigint NOT NULL,
            refund_id bigint NOT NULL,
            base numeric NOT NULL,
            PRIMARY KEY (merchant_id, order_id, refund_id)
        )
        """,
    )
    protect(SCHEMA, "buyers", rights="SELECT, INSERT, UPDATE")
    protect(SCHEMA, "identities", rights="SELECT, INSERT, DELETE")
    protect(SCHEMA, "orders", rights="SELECT, INSERT, UPDATE")
    protect(SCHEMA, "order_refunds", rights="SELECT, INSERT")


def _referrals() -> None:
    run(
        # A friend has one referral ever.
        """
        CREATE TABLE referrals.referrals (
            merchant_id text NOT NULL,
            referral_id uuid NOT NULL,
            friend_id bigint NOT NULL,
            referrer_id bigint NOT NULL,
            channel text NOT NULL CHECK (channel IN ('link', 'email', 'sms')),
            status text NOT NULL CHECK (status IN ('pending', 'completed', 'held', 'refused', 'reversed')),
            reason text NOT NULL,
            order_id bigint,
            minimum_spend numeric,
            referrer_points bigint NOT NULL,
            friend_points bigint NOT NULL,
            settings_version int NOT NULL,
            judged_at timestamptz,
            converted_at timestamptz,
            completed_at timestamptz,
            reviewed_by text NOT NULL,
            note text NOT NULL,
            version int NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, referral_id),
            UNIQUE (merchant_id, friend_id)
        ) WITH (fillfactor = 80)
        """,
        "CREATE INDEX referrals_of_referrer ON referrals.referrals (merchant_id, referrer_id, referral_id DESC)",
        "CREATE INDEX referrals_by_status ON referrals.referrals (merchant_id, status, referral_id DESC)",
        """
        CREATE INDEX referrals_converted ON referrals.referrals (merchant_id, referrer_id, converted_at)
            WHERE converted_at IS NOT NULL
        """,
    )
    protect(SCHEMA, "referrals", rights="SELECT, INSERT, UPDATE")
