"""Alembic revisions of the schema `core`."""
