"""A stand-in Shopify that enforces the documented rules over real HTTP, and bodies shaped like Shopify's webhooks."""
