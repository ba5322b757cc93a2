"""Redaction of members."""

from loyalnest.kit.migrations import create_privacy_requests, run
from loyalnest.kit.roles import worker_role

revision = "0002"
down_revision = "0001"
SCHEMA = "points"


def upgrade() -> None:
    worker = worker_role(SCHEMA)
    run(
        # The ledger stays append-only but for whose it is and what somebody wrote about them.
        f"GRANT UPDATE (customer_id, source, note) ON points.points_transactions TO {worker}",
        f"GRANT UPDATE (customer_id) ON points.ledger_entries TO {worker}",
        # The other awards are found by their accruals.
        """
        CREATE INDEX order_awards_without_points ON points.order_awards (merchant_id, customer_id) WHERE awarded = 0
        """,
    )
    create_privacy_requests(SCHEMA)
