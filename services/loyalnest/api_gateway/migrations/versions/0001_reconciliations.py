"""How far the orders of each shop have been compared with Shopify's own."""

from loyalnest.kit.migrations import create_outbox, create_roles, protect, run

revision = "0001"
down_revision = None
SCHEMA = "api_gateway"


def upgrade() -> None:
    create_roles(SCHEMA)
    run(
        # [since, until) is the window under way, page its place there; done_at: when the last window was finished.
        """
        CREATE TABLE api_gateway.reconciliations (
            merchant_id text NOT NULL,
            since timestamptz NOT NULL,
            until timestamptz,
            page text NOT NULL DEFAULT '',
            orders bigint NOT NULL DEFAULT 0,
            recovered bigint NOT NULL DEFAULT 0,
            problem text NOT NULL DEFAULT '',
            problem_at timestamptz,
            done_at timestamptz,
            PRIMARY KEY (merchant_id)
        )
        """
    )
    protect(SCHEMA, "reconciliations")
    create_outbox(SCHEMA)
