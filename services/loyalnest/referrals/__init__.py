"""Referral codes and their rewards (its events are fixed; the service follows)."""
