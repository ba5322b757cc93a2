"""Alembic revisions of the schema `auth`."""
