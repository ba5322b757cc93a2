"""Alembic revisions of the schema `admin_core`."""
