"""Customers, program settings and imports."""
