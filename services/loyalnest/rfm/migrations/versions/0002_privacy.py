"""Redaction of customers."""

from loyalnest.kit.migrations import create_privacy_requests, run
from loyalnest.kit.roles import worker_role

revision = "0002"
down_revision = "0001"
SCHEMA = "rfm"


def upgrade() -> None:
    run(
        # The history stays append-only but for whose it is.
        f"GRANT UPDATE (customer_id) ON rfm.rfm_segment_deltas TO {worker_role(SCHEMA)}",
        "CREATE INDEX rfm_segment_deltas_of_customer ON rfm.rfm_segment_deltas (merchant_id, customer_id)",
    )
    create_privacy_requests(SCHEMA)
