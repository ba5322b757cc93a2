"""VIP tiers and bonus campaigns."""
