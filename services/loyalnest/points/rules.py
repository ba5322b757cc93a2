"""What points reads from the merchants' rules."""

from datetime import datetime, timedelta

from loyalnest.kit.program import ProgramRules


def lot_times(rules: ProgramRules, now: datetime, *, approved: bool = False) -> tuple[datetime, datetime | None]:
    """When points granted now are available (at once if `approved` already), and when they expire (None: never)."""
    earning = rules.earning
    available_at = now if approved else now + timedelta(days=earning.approval_days)
    return available_at, None if earning.expiry_days is None else available_at + timedelta(days=earning.expiry_days)
