"""A merchant's way from one place (databases, topics, keys) to another: closed, copied, forwarded, erased.

Generic over the services: which tables there are is read from the catalogue, and a merchant's rows are those with its
`merchant_id`.
"""
