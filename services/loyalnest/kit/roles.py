"""The two PostgreSQL roles of a service."""


def request_role(schema: str) -> str:
    """The role of requests: row-level security confines it to the transaction's merchant."""
    return f"loyalnest_{schema}_request"


def worker_role(schema: str) -> str:
    """The role of batch consumers and jobs, whose one statement serves many merchants."""
    return f"loyalnest_{schema}_worker"
