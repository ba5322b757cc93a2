"""The operator: one LoyaltyProgram in, a merchant's whole platform out.

`desired` says what should be there (pure), `reconcile` compares it with what is there and acts, `watch` tells when.
"""
