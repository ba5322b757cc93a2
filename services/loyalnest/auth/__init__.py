"""Merchants, their admins, sessions and keys; Shopify's OAuth."""
