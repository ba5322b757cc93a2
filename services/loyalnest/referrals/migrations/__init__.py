"""Alembic revisions of the schema `referrals`."""
