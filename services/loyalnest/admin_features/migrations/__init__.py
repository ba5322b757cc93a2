"""Alembic revisions of the schema `admin_features`."""
