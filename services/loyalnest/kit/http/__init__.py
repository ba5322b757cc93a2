"""HTTP on every process: problem documents, health, metrics; and the field types that routes share."""
