"""Which lots' expiry was announced."""

from loyalnest.kit.migrations import run

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run(
        "ALTER TABLE points.lots ADD COLUMN expiry_told_at timestamptz",
        """
        CREATE INDEX lots_to_announce ON points.lots (expires_at)
            WHERE NOT pending AND remaining > 0 AND expiry_told_at IS NULL AND expires_at IS NOT NULL
        """,
    )
