"""Alembic revisions of the schema `rfm`."""
