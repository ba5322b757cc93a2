"""Shopify: its signatures, its OAuth, its Admin API. Nothing here knows a merchant; a shop is its domain."""
