"""The HTTP edge: takes Shopify's deliveries, and serves the dashboard's and the widget's calls."""
