"""What the services share: runtime, database, event bus, RPC, HTTP, cryptography, settings, metrics."""
