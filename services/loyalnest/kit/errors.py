"""Errors that a caller may see. Each maps to one HTTP status and one gRPC status.

Everything else that is raised is a bug or an outage: it is logged with its trace and shown to the caller
only as an internal error.
"""

from typing import ClassVar

import grpc


class LoyalNestError(Exception):
    """A failure with words for the caller.

    `detail` is one sentence that says what is wrong and, where possible, what to do.
    """

    status: ClassVar[int] = 500
    grpc_status: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class InvalidInput(LoyalNestError):
    status, grpc_status = 400, grpc.StatusCode.INVALID_ARGUMENT
    slug, title = "invalid-input", "The request is not valid"


class Unauthenticated(LoyalNestError):
    status, grpc_status = 401, grpc.StatusCode.UNAUTHENTICATED
    slug, title = "unauthenticated", "Authentication is required"


class Forbidden(LoyalNestError):
    status, grpc_status = 403, grpc.StatusCode.PERMISSION_DENIED
    slug, title = "forbidden", "Not allowed"


class NotFound(LoyalNestError):
    status, grpc_status = 404, grpc.StatusCode.NOT_FOUND
    slug, title = "not-found", "Not found"


class Conflict(LoyalNestError):
    status, grpc_status = 409, grpc.StatusCode.ALREADY_EXISTS
    slug, title = "conflict", "Conflicts with what is there"


class PreconditionFailed(LoyalNestError):
    """The request is well formed but the state of things forbids it (too few points, a closed reward)."""

    status, grpc_status = 422, grpc.StatusCode.FAILED_PRECONDITION
    slug, title = "precondition-failed", "Not possible in the present state"


class TooLarge(LoyalNestError):
    status, grpc_status = 413, grpc.StatusCode.OUT_OF_RANGE
    slug, title = "too-large", "The request is too large"


class RateLimited(LoyalNestError):
    """`retry_after` is the number of seconds after which a new try may succeed."""

    status, grpc_status = 429, grpc.StatusCode.RESOURCE_EXHAUSTED
    slug, title = "rate-limited", "Too many requests"

    def __init__(self, detail: str, retry_after: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Unavailable(LoyalNestError):
    """Something this needs is down; the same request may succeed later."""

    status, grpc_status = 503, grpc.StatusCode.UNAVAILABLE
    slug, title = "unavailable", "Temporarily unavailable"


class RaceLost(Unavailable):
    """Another transaction made a row that this one took for new. Trying again at once finds it."""


class DeadlineExceeded(LoyalNestError):
    status, grpc_status = 504, grpc.StatusCode.DEADLINE_EXCEEDED
    slug, title = "deadline-exceeded", "Took too long"


_ALL: tuple[type[LoyalNestError], ...] = (
    InvalidInput,
    Unauthenticated,
    Forbidden,
    NotFound,
    Conflict,
    PreconditionFailed,
    TooLarge,
    RateLimited,
    Unavailable,
    DeadlineExceeded,
)


def from_grpc(status: grpc.StatusCode, detail: str) -> LoyalNestError:
    """The error that a gRPC status stands for, so that a caller across processes sees what a local one sees."""
    for kind in _ALL:
        if kind.grpc_status is status:
            return kind(detail)
    return LoyalNestError(detail)
