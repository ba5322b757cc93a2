"""Who a call is made for: carried in a context variable inside a process and in metadata between processes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from loyalnest.kit.errors import Forbidden, Unauthenticated


@dataclass(frozen=True, slots=True)
class CallContext:
    """What every interceptor passes on.

    merchant_id: the tenant, or empty for a call that belongs to none (a health check, a look-up by domain).
    actor: who acts, for the audit log: an admin's id, `system`, `shopper:<customer id>`.
    role: `owner`, `staff`, `support`, or `system` for LoyalNest's own jobs.
    deadline: on the monotonic clock, in seconds; None for no deadline.
    """

    merchant_id: str = ""
    actor: str = "system"
    role: str = "system"
    deadline: float | None = None

    def remaining(self) -> float | None:
        """Seconds until the deadline (never negative), or None."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())


_OUTSIDE = CallContext()
_current: ContextVar[CallContext] = ContextVar("loyalnest_call", default=_OUTSIDE)


def current() -> CallContext:
    """The context of the call being served."""
    return _current.get()


def required_merchant() -> str:
    """The merchant of the call being served.

    Raises Unauthenticated if the call belongs to no merchant.
    """
    merchant_id = _current.get().merchant_id
    if not merchant_id:
        raise Unauthenticated("This call needs a merchant, and none came with it.")
    return merchant_id


@contextmanager
def use(context: CallContext) -> Iterator[CallContext]:
    """Serve the block under `context`."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)


@contextmanager
def as_merchant(merchant_id: str, *, actor: str = "system", role: str = "system") -> Iterator[CallContext]:
    """Serve the block for a merchant, keeping the deadline in force."""
    with use(replace(_current.get(), merchant_id=merchant_id, actor=actor, role=role)) as context:
        yield context


def require_role(*roles: str) -> CallContext:
    """The context of the call, if its role is one of `roles` or LoyalNest's own.

    Raises Forbidden naming the roles that may.
    """
    context = _current.get()
    if context.role not in (*roles, "system"):
        raise Forbidden(f"This needs the role {' or '.join(roles)}; you act as {context.role or 'nobody'}.")
    return context


def only_ourselves() -> None:
    """Refuse a call that does not come from LoyalNest's own services. Raises Forbidden."""
    if _current.get().role != "system":
        raise Forbidden("Only LoyalNest's own services may ask this.")
