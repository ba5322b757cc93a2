"""Alembic revisions of the schema `gamification`."""
