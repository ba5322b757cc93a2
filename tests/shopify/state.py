"""The stand-in's memory and its rules of access, apart from HTTP."""

import itertools
import random
import secrets
import threading
import time
from typing import Any

from shopify.model import App, Bucket, Discount, Failure, Grant, Plan, Seen, Shop


class State:
    """Everything in memory; `lock` is held by every request and helper while it looks or changes."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        """Forget everything: two shops are left, each with an app of its own."""
        with self.lock:
            self.offset = 0.0
            self.shops: dict[str, Shop] = {}
            self.grants: list[Grant] = []
            self.codes: dict[str, tuple[str, str]] = {}
            self.discounts: dict[str, list[Discount]] = {}
            self.orders: dict[str, dict[int, dict[str, Any]]] = {}
            self.buckets: dict[tuple[str, str], Bucket] = {}
            self.failures: list[Failure] = []
            self.seen: list[Seen] = []
            self.ids = itertools.count(random.SystemRandom().randrange(2**53, 2**60))

    def now(self) -> float:
        """The stand-in's clock: seconds since 1970, which a test may move on."""
        return time.time() + self.offset

    def app(self, shop: Shop, api_key: str) -> App | None:
        """The app, if `api_key` is the one that belongs to `shop`."""
        return shop.app if shop.app.api_key == api_key else None

    def issue_code(self, shop: Shop) -> str:
        """A code for the callback."""
        code = secrets.token_hex(16)
        self.codes[code] = (shop.domain, shop.app.api_key)
        return code

    def take_code(self, shop: Shop, code: str) -> bool:
        """Whether `code` was issued for this shop and app and not used; it is used now."""
        return self.codes.pop(code, None) == (shop.domain, shop.app.api_key)

    def grant(self, shop: Shop, *, expiring: bool, replaces: str | None = None) -> Grant:
        """A new offline access. An expiring one revokes the shop's earlier ones."""
        now, app = self.now(), shop.app
        grant = Grant(shop.domain, app.api_key, f"shpat_{secrets.token_hex(16)}", app.scopes)
        if expiring:
            for earlier in self._of(shop):
                earlier.revoked = True
            grant.expires_at = now + shop.token_seconds
            grant.refresh_token = f"shprt_{secrets.token_hex(16)}"
            grant.refresh_expires_at = now + shop.refresh_seconds
            grant.replaces = replaces
        self.grants.append(grant)
        return grant

    def refresh(self, shop: Shop, refresh_token: str) -> Grant | None:
        """The grant for a refresh token, or None if it is not active."""
        for grant in self._of(shop):
            live = not grant.revoked and (grant.refresh_expires_at or 0) > self.now()
            if live and grant.refresh_token == refresh_token:
                return self.grant(shop, expiring=True, replaces=refresh_token)
            if live and grant.replaces == refresh_token and shop.keeps_used_refresh_token:
                return grant  # the answer was lost: the same again
        return None

    def authenticate(self, shop: Shop, access_token: str) -> Grant | None:
        """The grant of a token that is valid for this shop now."""
        for grant in self._of(shop):
            alive = grant.expires_at is None or grant.expires_at > self.now()
            if grant.access_token == access_token and alive and not grant.revoked:
                return grant
        return None

    def bucket(self, shop: Shop) -> Bucket:
        """The cost bucket of this shop and its app."""
        key = (shop.app.api_key, shop.domain)
        bucket = self.buckets.get(key)
        if bucket is None or bucket.plan != shop.plan:
            bucket = self.buckets[key] = new_bucket(shop.plan, self.now())
        return bucket

    def failure_for(self, path: str) -> Failure | None:
        """The failure that was asked for on `path`, counted down."""
        for failure in self.failures:
            if failure.path in path:
                failure.times -= 1
                if failure.times <= 0:
                    self.failures.remove(failure)
                return failure
        return None

    def _of(self, shop: Shop) -> list[Grant]:
        return [one for one in self.grants if (one.shop, one.api_key) == (shop.domain, shop.app.api_key)]


def new_bucket(plan: Plan, now: float) -> Bucket:
    """A full one."""
    return Bucket(plan, plan.maximum, now)
