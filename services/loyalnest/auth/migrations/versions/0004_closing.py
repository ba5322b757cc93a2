"""When a merchant was closed here, because its data is about to be moved elsewhere or erased."""

from loyalnest.kit.migrations import run

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run("ALTER TABLE auth.merchants ADD COLUMN closed_at timestamptz")
