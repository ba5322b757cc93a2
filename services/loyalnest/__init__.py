"""LoyalNest: a multi-tenant loyalty platform for Shopify merchants."""

__version__ = "0.1.0"
