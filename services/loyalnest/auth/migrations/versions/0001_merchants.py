"""Merchants, their keys and tokens, their admin users and sessions, and installations under way."""

from loyalnest.kit.migrations import create_outbox, create_roles, protect, run

revision = "0001"
down_revision = None
SCHEMA = "auth"


def upgrade() -> None:
    create_roles(SCHEMA)
    _merchants()
    _admins()
    create_outbox(SCHEMA)


def _merchants() -> None:
    run(
        # Secrets and tokens here are sealed under the merchant's data key; the edge finds a merchant by its domain.
        """
        CREATE TABLE auth.merchants (
            merchant_id text NOT NULL,
            shop_domain text NOT NULL UNIQUE,
            status text NOT NULL CHECK (status IN ('active', 'uninstalled', 'suspended')),
            api_key text NOT NULL,
            api_secret bytea NOT NULL,
            api_secret_previous bytea,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id)
        )
        """,
        """
        CREATE TABLE auth.shop_tokens (
            merchant_id text NOT NULL,
            origin text NOT NULL CHECK (origin IN ('program', 'oauth')),
            access_token bytea NOT NULL,
            expires_at timestamptz,
            refresh_token bytea,
            refresh_expires_at timestamptz,
            scope text NOT NULL,
            refused boolean NOT NULL DEFAULT false,
            obtained_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, origin)
        )
        """,
        # `rotation` names the rotation that made a key, so that an interrupted one is not begun again.
        """
        CREATE TABLE auth.data_keys (
            merchant_id text NOT NULL,
            purpose text NOT NULL CHECK (purpose IN ('data', 'index')),
            version int NOT NULL CHECK (version > 0),
            kek_id text NOT NULL,
            wrapped bytea NOT NULL,
            rotation text NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, purpose, version)
        )
        """,
        """
        CREATE TABLE auth.oauth_states (
            merchant_id text NOT NULL,
            state_hash bytea NOT NULL,
            expires_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, state_hash)
        )
        """,
        "CREATE INDEX oauth_states_expired ON auth.oauth_states (expires_at)",
    )
    protect(SCHEMA, "merchants", rights="SELECT, INSERT, UPDATE")
    protect(SCHEMA, "shop_tokens")
    protect(SCHEMA, "data_keys")
    protect(SCHEMA, "oauth_states")


def _admins() -> None:
    run(
        # A person's name is sealed; the name and Shopify's id of the person are found by keyed hashes.
        """
        CREATE TABLE auth.admin_users (
            merchant_id text NOT NULL,
            admin_user_id uuid NOT NULL,
            name bytea NOT NULL,
            name_hash bytea NOT NULL,
            shopify_user_hash bytea,
            role text NOT NULL CHECK (role IN ('owner', 'staff', 'support')),
            active boolean NOT NULL DEFAULT true,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            PRIMARY KEY (merchant_id, admin_user_id),
            UNIQUE (merchant_id, name_hash),
            UNIQUE (merchant_id, shopify_user_hash)
        )
        """,
        """
        CREATE TABLE auth.admin_sessions (
            merchant_id text NOT NULL,
            session_id uuid NOT NULL,
            admin_user_id uuid,
            actor text NOT NULL,
            role text NOT NULL CHECK (role IN ('owner', 'staff', 'support')),
            created_at timestamptz NOT NULL,
            expires_at timestamptz NOT NULL,
            revoked_at timestamptz,
            PRIMARY KEY (merchant_id, session_id),
            FOREIGN KEY (merchant_id, admin_user_id) REFERENCES auth.admin_users
        )
        """,
        "CREATE INDEX admin_sessions_of_user ON auth.admin_sessions (merchant_id, admin_user_id)",
        "CREATE INDEX admin_sessions_expired ON auth.admin_sessions (expires_at)",
    )
    protect(SCHEMA, "admin_users")
    protect(SCHEMA, "admin_sessions")
