"""The points ledger: accruals, lots, redemptions, clawbacks."""
