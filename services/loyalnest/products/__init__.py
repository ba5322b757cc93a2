"""Products: kept from Shopify, searched by shoppers and admins."""
