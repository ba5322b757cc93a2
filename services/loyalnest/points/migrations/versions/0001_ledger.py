"""The ledger: transactions, entries, lots, balances, awards, redemptions, and the projections points decides by."""

from loyalnest.kit.migrations import create_inbox, create_outbox, create_program_rules, create_roles, protect, run

revision = "0001"
down_revision = None
SCHEMA = "points"


def upgrade() -> None:
    create_roles(SCHEMA)
    run(
        """
        CREATE TYPE points.account AS ENUM
            ('issued', 'pending', 'available', 'held', 'redeemed', 'expired', 'clawback')
        """,
        "GRANT USAGE ON TYPE points.account TO loyalnest_points_request, loyalnest_points_worker",
    )
    _ledger()
    _awards()
    _redemptions()
    _projections()
    create_inbox(SCHEMA)
    create_outbox(SCHEMA)


def _ledger() -> None:
    run(
        # `source` is the business key: one cause can be posted once, whatever else fails.
        """
        CREATE TABLE points.points_transactions (
            merchant_id text NOT NULL,
            transaction_id uuid NOT NULL,
            customer_id bigint NOT NULL,
            kind text NOT NULL,
            points bigint NOT NULL,
            source text NOT NULL,
            order_id bigint,
            rule text NOT NULL,
            settings_version int NOT NULL,
            actor text NOT NULL,
            note text NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, transaction_id),
            UNIQUE (merchant_id, source)
        )
        """,
        """
        CREATE INDEX points_transactions_history
            ON points.points_transactions (merchant_id, customer_id, transaction_id DESC)
        """,
        """
        CREATE TABLE points.ledger_entries (
            merchant_id text NOT NULL,
            transaction_id uuid NOT NULL,
            account points.account NOT NULL,
            customer_id bigint NOT NULL,
            amount bigint NOT NULL CHECK (amount <> 0),
            PRIMARY KEY (merchant_id, transaction_id, account)
        )
        """,
        """
        CREATE TABLE points.lots (
            merchant_id text NOT NULL,
            lot_id uuid NOT NULL,
            customer_id bigint NOT NULL,
            order_id bigint,
            granted bigint NOT NULL CHECK (granted > 0),
            remaining bigint NOT NULL CHECK (remaining >= 0),
            expired bigint NOT NULL DEFAULT 0 CHECK (expired >= 0),
            pending boolean NOT NULL,
            available_at timestamptz NOT NULL,
            expires_at timestamptz,
            PRIMARY KEY (merchant_id, lot_id),
            CHECK (remaining + expired <= granted)
        )
        """,
        "CREATE INDEX lots_of_customer ON points.lots (merchant_id, customer_id) WHERE remaining > 0",
        "CREATE INDEX lots_to_approve ON points.lots (available_at) WHERE pending AND remaining > 0",
        "CREATE INDEX lots_to_expire ON points.lots (expires_at) WHERE NOT pending AND remaining > 0",
        """
        CREATE TABLE points.balances (
            merchant_id text NOT NULL,
            customer_id bigint NOT NULL,
            pending bigint NOT NULL DEFAULT 0 CHECK (pending >= 0),
            available bigint NOT NULL DEFAULT 0,
            held bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
            lifetime_earned bigint NOT NULL DEFAULT 0,
            lifetime_redeemed bigint NOT NULL DEFAULT 0,
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (merchant_id, customer_id)
        ) WITH (fillfactor = 70)
        """,
    )
    protect(SCHEMA, "points_transactions", rights="SELECT, INSERT")
    protect(SCHEMA, "ledger_entries", rights="SELECT, INSERT")
    protect(SCHEMA, "lots", rights="SELECT, INSERT, UPDATE")
    protect(SCHEMA, "balances", rights="SELECT, INSERT, UPDATE")


def _awards() -> None:
    run(
        # One row an order, made by whatever tells of it first, be it a refund.
        """
        CREATE TABLE points.order_awards (
            merchant_id text NOT NULL,
            order_id bigint NOT NULL,
            customer_id bigint,
            base numeric,
            refunded_base numeric NOT NULL DEFAULT 0,
            cancelled boolean NOT NULL DEFAULT false,
            awarded_at timestamptz,
            rule text NOT NULL DEFAULT '',
            points_per_unit numeric,
            fixed_points bigint,
            multiplier numeric NOT NULL DEFAULT 1,
            settings_version int NOT NULL DEFAULT 0,
            awarded bigint NOT NULL DEFAULT 0,
            clawed_back bigint NOT NULL DEFAULT 0 CHECK (clawed_back <= awarded),
            clawbacks int NOT NULL DEFAULT 0,
            lot_id uuid,
            PRIMARY KEY (merchant_id, order_id)
        ) WITH (fillfactor = 80)
        """,
        """
        CREATE TABLE points.order_refunds (
            merchant_id text NOT NULL,
            order_id bigint NOT NULL,
            refund_id bigint NOT NULL,
            base numeric NOT NULL,
            PRIMARY KEY (merchant_id, order_id, refund_id)
        )
        """,
    )
    protect(SCHEMA, "order_awards", rights="SELECT, INSERT, UPDATE")
    protect(SCHEMA, "order_refunds", rights="SELECT, INSERT")


def _redemptions() -> None:
    run(
        """
        CREATE TABLE points.reward_redemptions (
            merchant_id text NOT NULL,
            redemption_id uuid NOT NULL,
            customer_id bigint NOT NULL,
            reward text NOT NULL,
            points bigint NOT NULL CHECK (points > 0),
            discount jsonb NOT NULL,
            status text NOT NULL CHECK (status IN ('held', 'issued', 'refused', 'cancelled')),
            code text NOT NULL,
            issued_by text NOT NULL CHECK (issued_by IN ('', 'shopify', 'local')),
            discount_id text NOT NULL DEFAULT '',
            reason text NOT NULL DEFAULT '',
            idempotency_key text NOT NULL,
            settings_version int NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, redemption_id),
            UNIQUE (merchant_id, idempotency_key),
            UNIQUE (merchant_id, code)
        )
        """,
        """
        CREATE INDEX reward_redemptions_of_customer
            ON points.reward_redemptions (merchant_id, customer_id, redemption_id DESC)
        """,
        "CREATE INDEX reward_redemptions_held ON points.reward_redemptions (updated_at) WHERE status = 'held'",
        """
        CREATE TABLE points.redemption_lots (
            merchant_id text NOT NULL,
            redemption_id uuid NOT NULL,
            lot_id uuid NOT NULL,
            points bigint NOT NULL CHECK (points > 0),
            PRIMARY KEY (merchant_id, redemption_id, lot_id)
        )
        """,
    )
    protect(SCHEMA, "reward_redemptions", rights="SELECT, INSERT, UPDATE")
    protect(SCHEMA, "redemption_lots", rights="SELECT, INSERT")


def _projections() -> None:
    create_program_rules(SCHEMA)
    run(
        """
        CREATE TABLE points.customer_tiers (
            merchant_id text NOT NULL,
            customer_id bigint NOT NULL,
            tier text NOT NULL,
            multiplier numeric NOT NULL CHECK (multiplier > 0),
            changed_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, customer_id)
        )
        """,
    )
    protect(SCHEMA, "customer_tiers")
