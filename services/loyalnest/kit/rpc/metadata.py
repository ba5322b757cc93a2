"""What a call carries besides its message: who it is for, how long it may take, its trace, and how it failed.

Both sides are written here, next to each other. A local call passes the same pairs as one over the network.
"""

import time
from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote

import grpc
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from loyalnest.kit.context import CallContext
from loyalnest.kit.errors import (
    DeadlineExceeded,
    InvalidInput,
    LoyalNestError,
    RateLimited,
    TooLarge,
    Unavailable,
    from_grpc,
)

Pairs = tuple[tuple[str, str], ...]
"""Metadata as gRPC takes it: names in lower case, values in printable ASCII."""

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""Most bytes of one request or one answer, in either packing."""

_MERCHANT = "x-loyalnest-merchant"
_ACTOR = "x-loyalnest-actor"
_ROLE = "x-loyalnest-role"
_DEADLINE = "x-loyalnest-deadline-ms"
_ERROR = "x-loyalnest-error"
_RETRY_AFTER = "x-loyalnest-retry-after-ms"
_MAX_DETAIL = 1000  # characters; gRPC refuses metadata above 8 KiB, and percent-encoding makes 3 bytes of one

_trace = TraceContextTextMapPropagator()


def outgoing(context: CallContext, remaining: float) -> Pairs:
    """The pairs of a call made under `context` that has `remaining` seconds, with the trace of the work under way."""
    carrier: dict[str, str] = {_DEADLINE: str(max(1, int(remaining * 1000)))}
    if context.merchant_id:
        carrier[_MERCHANT] = _encode(context.merchant_id)
    if context.actor:
        carrier[_ACTOR] = _encode(context.actor)
    if context.role:
        carrier[_ROLE] = _encode(context.role)
    _trace.inject(carrier)
    return tuple(carrier.items())


def incoming(pairs: Iterable[tuple[str, str | bytes]]) -> tuple[CallContext, Context]:
    """The call's context and its trace, from nothing but the pairs that came with it.

    A call that names no actor or role gets empty ones, never those of LoyalNest's own jobs.
    Raises InvalidInput if the deadline is not a whole number of milliseconds.
    """
    values = as_mapping(pairs)
    milliseconds = values.get(_DEADLINE)
    if milliseconds is None:
        deadline = None
    elif milliseconds.isascii() and milliseconds.isdigit() and len(milliseconds) <= 12:
        deadline = time.monotonic() + int(milliseconds) / 1000
    else:
        raise InvalidInput(f"{_DEADLINE} must be a whole number of milliseconds.")
    context = CallContext(
        merchant_id=unquote(values.get(_MERCHANT, "")),
        actor=unquote(values.get(_ACTOR, "")),
        role=unquote(values.get(_ROLE, "")),
        deadline=deadline,
    )
    trace = _trace.extract(values, context=Context()) if "traceparent" in values else Context()
    return context, trace


def trailing(error: LoyalNestError) -> Pairs:
    """The pairs that go back with `error`: they mark it as said by the service and not by the transport."""
    if isinstance(error, RateLimited):
        return (_ERROR, error.slug), (_RETRY_AFTER, str(int(error.retry_after * 1000)))
    return ((_ERROR, error.slug),)


def detail(error: LoyalNestError) -> str:
    """The words of `error`, cut to what gRPC can carry."""
    return error.detail[:_MAX_DETAIL]


def failure(service: str, error: grpc.aio.AioRpcError) -> LoyalNestError:
    """The error that a caller of `service` sees for a failed call.

    What the service said is kept word for word. What the transport said is not for callers (it names addresses),
    so it becomes a sentence about the service; the original stays as the cause.
    """
    status: grpc.StatusCode = error.code()
    values = as_mapping(error.trailing_metadata() or ())
    if _ERROR in values:
        said = from_grpc(status, error.details() or "")
        if isinstance(said, RateLimited) and values.get(_RETRY_AFTER, "").isdigit():
            said.retry_after = int(values[_RETRY_AFTER]) / 1000
        return said
    if status in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return Unavailable(f"The {service} service cannot be reached at the moment; try again.")
    if status is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"The {service} service did not answer in time.")
    if status is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return TooLarge(f"The message is larger than the {MAX_MESSAGE_BYTES} bytes that one call may carry.")
    return LoyalNestError(f"The {service} service could not serve this call ({status.name}).")


def as_mapping(pairs: Iterable[tuple[str, str | bytes]]) -> Mapping[str, str]:
    """The pairs by name; the first of a name wins, and binary ones are left out."""
    values: dict[str, str] = {}
    for name, value in pairs:
        if isinstance(value, str):
            values.setdefault(name, value)
    return values


def _encode(value: str) -> str:
    if value.isascii() and value.isprintable() and "%" not in value and value == value.strip():
        return value
    return quote(value, safe=" ") if value == value.strip() else quote(value)
