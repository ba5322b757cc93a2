"""Encryption of personal data at the edge: sealed values, key-encryption keys, keyed hashes, a merchant's key ring."""
