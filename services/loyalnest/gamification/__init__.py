"""VIP tiers and bonus campaigns (its events are fixed; the service follows)."""
