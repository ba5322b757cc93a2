"""Alembic revisions of the schema `points`."""
