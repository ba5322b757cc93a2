"""Names, labels and annotations of everything that belongs to a program."""

import hashlib

GROUP = "loyalnest.io"
FIELD_MANAGER = "loyalnest-operator"
FINALIZER = f"{GROUP}/finalizer"

MANAGED_BY = "app.kubernetes.io/managed-by"
PROGRAM = f"{GROUP}/program"
"""Label: the program that an object belongs to. What has it and is no longer desired is pruned."""
COMPONENT = "app.kubernetes.io/component"
"""Label: the service that an object belongs to."""

CANARY = f"{GROUP}/canary"
"""Label on a program: `true` makes it one of the first that get a new version."""

DESIRED_HASH = f"{GROUP}/desired-hash"
"""Annotation: digest of what was applied, so that a field which is no longer desired is noticed."""
PAUSED = f"{GROUP}/paused"
"""Annotation on a program: `true` leaves everything of it alone."""
ROTATE = f"{GROUP}/rotate-passwords"
"""Annotation on a program: a new value gives its database logins new passwords."""

MOST_POSTGRES = 63
"""Bytes of a PostgreSQL identifier."""


def labels(program: str, component: str = "") -> dict[str, str]:
    """Labels of an object of `program`, or of one of its services."""
    found = {MANAGED_BY: FIELD_MANAGER, "app.kubernetes.io/part-of": "loyalnest", PROGRAM: program}
    return found | ({COMPONENT: component} if component else {})


def labels_of_operator() -> dict[str, str]:
    """Labels of the operator's own Lease, by which its watches find it."""
    return {MANAGED_BY: FIELD_MANAGER, "app.kubernetes.io/part-of": "loyalnest", COMPONENT: "operator"}


def namespace(program: str) -> str:
    """Where a Compact or Distributed program runs."""
    return f"loyalnest-{program}"


def secrets(program: str) -> str:
    """The Secret in the operator's namespace that keeps what was generated for a program. Losing it loses the data."""
    return f"program-{program}"


def database(program: str) -> str:
    """The PostgreSQL database of a program of its own."""
    return _postgres(f"loyalnest_{program}")


def login(program: str, purpose: str) -> str:
    """A PostgreSQL login of a program: `owner` migrates, `app` serves the Compact tier, a service serves itself.

    Two underscores stand between the names, or program `x` with service `admin_core` and program `x-admin` with
    service `core` would share a login.
    """
    return _postgres(f"loyalnest_{program}__{purpose}")


def topic_prefix(program: str) -> str:
    """Put before every topic of a program of its own."""
    return f"loyalnest.{program}."


def redis_prefix(program: str) -> str:
    """Put before every Redis key of a program of its own."""
    return f"loyalnest:{program}:"


def _postgres(name: str) -> str:
    """`name` with `_` for `-` (which no program name has), or its beginning and a digest where it is too long."""
    plain = name.replace("-", "_")
    if len(plain) <= MOST_POSTGRES:
        return plain
    digest = hashlib.sha256(name.encode()).hexdigest()[:10]
    return f"{plain[: MOST_POSTGRES - 11]}_{digest}"


def export(program: str) -> str:
    """The Job and the Secret of a final export."""
    return f"export-{program}"
