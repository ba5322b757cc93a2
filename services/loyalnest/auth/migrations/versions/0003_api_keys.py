"""Keys for the merchants' own programs."""

from loyalnest.kit.migrations import protect, run

revision = "0003"
down_revision = "0002"
SCHEMA = "auth"


def upgrade() -> None:
    run(
        """
        CREATE TABLE auth.api_keys (
            merchant_id text NOT NULL,
            api_key_id uuid NOT NULL,
            name text NOT NULL,
            scopes text[] NOT NULL CHECK (cardinality(scopes) > 0),
            requests_per_minute int NOT NULL CHECK (requests_per_minute > 0),
            secret_hash bytea NOT NULL,
            previous_hash bytea,
            previous_until timestamptz,
            created_by text NOT NULL,
            created_at timestamptz NOT NULL,
            expires_at timestamptz,
            last_used_at timestamptz,
            revoked_at timestamptz,
            PRIMARY KEY (merchant_id, api_key_id),
            UNIQUE (merchant_id, secret_hash)
        )
        """,
        "CREATE UNIQUE INDEX api_keys_name ON auth.api_keys (merchant_id, name) WHERE revoked_at IS NULL",
        "CREATE INDEX api_keys_previous ON auth.api_keys (merchant_id, previous_hash) WHERE previous_hash IS NOT NULL",
    )
    protect(SCHEMA, "api_keys")
