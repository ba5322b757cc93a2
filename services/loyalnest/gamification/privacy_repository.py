"""All SQL of privacy requests.

What a redacted customer did, and the badges held, go on under a pseudonym, so that a badge's holders stay as many. The
reasons of awards by hand, the leaderboard's entry and its points are erased. The pseudonym is that of the ledger, so
what points tells later about its orders is of the same customer here; it is never evaluated, so nothing is given or
taken.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from loyalnest.gamification import leaderboard_repository
from loyalnest.gamification.cache import BadgeCache
from loyalnest.gamification.leaderboard import NAME_PURPOSE
from loyalnest.gamification.models import Key
from loyalnest.kit.crypto.envelope import UnknownKeyVersion
from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.database import Connection, after_commit
from loyalnest.kit.errors import Unavailable
from loyalnest.kit.events import Event
from loyalnest.kit.privacy import Counts, PrivacyRequests, Redaction
from loyalnest.kit.pseudonymising import CUSTOMERS, PseudonymisedRows

_LOCKS: Final = (
    """
    SELECT FROM gamification.orders o WHERE o.merchant_id = $1 AND o.customer_id = ANY($2::bigint[])
    ORDER BY o.order_id FOR UPDATE
    """,
    """
    SELECT FROM gamification.referrals r
    WHERE r.merchant_id = $1 AND (r.referrer_id = ANY($2::bigint[]) OR r.friend_id = ANY($2::bigint[]))
    ORDER BY r.referral_id FOR UPDATE
    """,
    """
    SELECT FROM gamification.customers c WHERE c.merchant_id = $1 AND c.customer_id = ANY($2::bigint[])
    ORDER BY c.customer_id FOR UPDATE
    """,
)


_CHANGES: Final = {
    "orders": f"""
        UPDATE gamification.orders t SET customer_id = k.pseudonym
        FROM {CUSTOMERS} WHERE t.merchant_id = $1 AND t.customer_id = k.customer_id
    """,
    "grants": f"""
        UPDATE gamification.grants t SET customer_id = k.pseudonym
        FROM {CUSTOMERS} WHERE t.merchant_id = $1 AND t.customer_id = k.customer_id
    """,
    "referrals": f"""
        UPDATE gamification.referrals t SET referrer_id = k.pseudonym
        FROM {CUSTOMERS} WHERE t.merchant_id = $1 AND t.referrer_id = k.customer_id
    """,
    "referrals_as_friend": f"""
        UPDATE gamification.referrals t SET friend_id = k.pseudonym
        FROM {CUSTOMERS} WHERE t.merchant_id = $1 AND t.friend_id = k.customer_id
    """,
    "badges": f"""
        UPDATE gamification.customer_badges t SET customer_id = k.pseudonym, reason = ''
        FROM {CUSTOMERS} WHERE t.merchant_id = $1 AND t.customer_id = k.customer_id
    """,
    "leaderboard_points": f"""
        DELETE FROM gamification.leaderboard_points t
        USING {CUSTOMERS} WHERE t.merchant_id = $1 AND t.customer_id = k.customer_id
    """,
    "leaderboard_entries": f"""
        DELETE FROM gamification.leaderboard_entries t
        USING {CUSTOMERS} WHERE t.merchant_id = $1 AND t.customer_id = k.customer_id
    """,
    "customers": f"""
        UPDATE gamification.customers t SET customer_id = k.pseudonym
        FROM {CUSTOMERS} WHERE t.merchant_id = $1 AND t.customer_id = k.customer_id
    """,
}

# Of a referral, the other side is somebody else's data.
_HELD: Final = {
    "orders": """
        SELECT to_jsonb(r) || jsonb_build_object('products', coalesce((
            SELECT jsonb_agg(jsonb_build_object('product_id', p.product_id, 'base', p.base) ORDER BY p.product_id)
            FROM gamification.order_products p WHERE p.merchant_id = r.merchant_id AND p.order_id = r.order_id
        ), '[]'))
        FROM gamification.orders r
        WHERE r.merchant_id = $1 AND r.customer_id = ANY($2::bigint[]) ORDER BY r.order_id
    """,
    "grants": """
        SELECT to_jsonb(r) FROM gamification.grants r
        WHERE r.merchant_id = $1 AND r.customer_id = ANY($2::bigint[]) ORDER BY r.earned_at, r.transaction_id
    """,
    "referrals": """
        SELECT jsonb_build_object('referral_id', r.referral_id, 'points', r.referrer_points,
                                  'completed_at', r.completed_at, 'reversed', r.reversed)
        FROM gamification.referrals r
        WHERE r.merchant_id = $1 AND r.referrer_id = ANY($2::bigint[]) ORDER BY r.referral_id
    """,
    "referrals_as_friend": """
        SELECT jsonb_build_object('referral_id', r.referral_id, 'points', r.friend_points,
                                  'completed_at', r.completed_at, 'reversed', r.reversed)
        FROM gamification.referrals r
        WHERE r.merchant_id = $1 AND r.friend_id = ANY($2::bigint[]) ORDER BY r.referral_id
    """,
    "badges": """
        SELECT to_jsonb(r) FROM gamification.customer_badges r
        WHERE r.merchant_id = $1 AND r.customer_id = ANY($2::bigint[]) ORDER BY r.badge_key
    """,
    "leaderboard_points": """
        SELECT to_jsonb(r) FROM gamification.leaderboard_points r
        WHERE r.merchant_id = $1 AND r.customer_id = ANY($2::bigint[]) ORDER BY r.period
    """,
}

_FOLLOWING: Final = """
    SELECT c.customer_id FROM gamification.customers c
    WHERE c.merchant_id = $1 AND c.customer_id > 0 ORDER BY c.customer_id LIMIT $2
"""

_ROWS: Final = PseudonymisedRows(locks=_LOCKS, changes=_CHANGES, following=_FOLLOWING, rows=_HELD)


class BadgesKept:
    """The keeper of what gamification knows of customers (see `loyalnest.kit.privacy`).

    redacted: the customers of committed steps whose cached badges are still to be dropped.
    """

    def __init__(self) -> None:
        self.redacted: list[Key] = []

    async def redact(self, connection: Connection, redaction: Redaction, customer_id: int) -> Counts:
        """Put a pseudonym in the customer's place, and erase what names the person."""
        after_commit(lambda: self.redacted.append((redaction.merchant_id, customer_id)))
        return await _ROWS.redact(connection, redaction, customer_id)

    async def redact_next(self, connection: Connection, redaction: Redaction) -> Counts:
        """The same for the next customers. What the cache holds of a shop's goes by itself, within a minute."""
        return await _ROWS.redact_next(connection, redaction)

    async def held(
        self, connection: Connection, merchant_id: str, customer_id: int, keys: MerchantKeys | None
    ) -> Mapping[str, Sequence[Any]]:
        """Everything as it is stored, and the leaderboard's name in the clear.

        Raises Unavailable if the name is sealed under a younger key than `keys` have.
        """
        found = dict(await _ROWS.held(connection, merchant_id, customer_id, keys))
        sealed = await leaderboard_repository.name_of(connection, merchant_id, customer_id)
        found["leaderboard_entries"] = []
        if sealed is not None and keys is not None:
            try:
                name = keys.open(NAME_PURPOSE, sealed).decode()
            except UnknownKeyVersion as error:
                raise Unavailable("The merchant's keys were rotated just now.") from error
            found["leaderboard_entries"] = [{"name": name}]
        return found


class PrivacyConsumer:
    """The consumer of `gdpr_request.created`: what is done in PostgreSQL, and then in the cache."""

    def __init__(self, requests: PrivacyRequests, kept: BadgesKept, cache: BadgeCache) -> None:
        self._requests = requests
        self._kept = kept
        self._cache = cache

    async def handle(self, events: Sequence[Event]) -> None:
        """Do each request; those that are done already do nothing."""
        await self._requests.handle(events)
        redacted, self._kept.redacted = self._kept.redacted, []
        await self._cache.forget(redacted)
