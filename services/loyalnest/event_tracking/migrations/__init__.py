"""Alembic revisions of the schema `event_tracking`."""
