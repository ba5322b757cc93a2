"""The audit log and GDPR requests (its events are fixed; the service follows)."""
