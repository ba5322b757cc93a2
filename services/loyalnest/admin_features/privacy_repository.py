"""All SQL of privacy requests.

A redacted customer's messages go on under a pseudonym, so that counts stay, without anything that leads to the person:
no hash of an address, no name of the message at the provider, no link, no key of what caused it. What waits is never
sent. Marks of old orders are dropped.

What stays is that an address unsubscribed, bounced or complained, by its keyed hash alone: forgetting it would let
mails begin again as soon as somebody types the address into the shop, which the person has just refused. The hash
tells nobody the address, and is no customer's any more. When a shop is redacted these go too, and so does the key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.database import Connection
from loyalnest.kit.privacy import Counts, Keeper, Redaction
from loyalnest.kit.pseudonymising import CUSTOMERS, PseudonymisedRows

_MESSAGES = PseudonymisedRows(
    locks=(
        """
        SELECT FROM admin_features.email_events m WHERE m.merchant_id = $1 AND m.customer_id = ANY($2::bigint[])
        ORDER BY m.message_id FOR UPDATE
        """,
        """
        SELECT FROM admin_features.addresses a WHERE a.merchant_id = $1 AND a.customer_id = ANY($2::bigint[])
        ORDER BY a.address_hash FOR UPDATE
        """,
    ),
    changes={
        "messages": f"""
            UPDATE admin_features.email_events m
            SET customer_id = k.pseudonym, cause = 'redacted:' || m.message_id, facts = '{{}}', sealed = NULL,
                address_hash = NULL, provider_id = '',
                reason = CASE WHEN m.status = 'pending' THEN 'redacted' ELSE m.reason END,
                status = CASE WHEN m.status = 'pending' THEN 'suppressed' ELSE m.status END
            FROM {CUSTOMERS} WHERE m.merchant_id = $1 AND m.customer_id = k.customer_id
        """,
        "addresses": f"""
            UPDATE admin_features.addresses a SET customer_id = NULL
            FROM {CUSTOMERS} WHERE a.merchant_id = $1 AND a.customer_id = k.customer_id AND k.pseudonym < 0
        """,
        "marks": f"""
            DELETE FROM admin_features.history_marks h
            USING {CUSTOMERS} WHERE h.merchant_id = $1 AND h.customer_id = k.customer_id AND k.pseudonym < 0
        """,
    },
    following="""
        SELECT m.customer_id FROM admin_features.email_events m WHERE m.merchant_id = $1 AND m.customer_id > 0
        UNION SELECT h.customer_id FROM admin_features.history_marks h WHERE h.merchant_id = $1 AND h.customer_id > 0
        ORDER BY 1 LIMIT $2
    """,
    rows={
        "messages": """
            SELECT to_jsonb(m) - 'sealed' - 'address_hash' FROM admin_features.email_events m
            WHERE m.merchant_id = $1 AND m.customer_id = ANY($2::bigint[]) ORDER BY m.message_id
        """,
        "addresses": """
            SELECT to_jsonb(a) - 'address_hash' FROM admin_features.addresses a
            WHERE a.merchant_id = $1 AND a.customer_id = ANY($2::bigint[]) ORDER BY a.address_hash
        """,
        "marks": """
            SELECT to_jsonb(h) FROM admin_features.history_marks h
            WHERE h.merchant_id = $1 AND h.customer_id = ANY($2::bigint[])
        """,
    },
)


@dataclass(frozen=True, slots=True)
class MessagesKept:
    """The keeper of messages and addresses (see `loyalnest.kit.privacy`)."""

    rows: Keeper = _MESSAGES

    async def redact(self, connection: Connection, redaction: Redaction, customer_id: int) -> Counts:
        """Put a pseudonym in the customer's place."""
        return await self.rows.redact(connection, redaction, customer_id)

    async def redact_next(self, connection: Connection, redaction: Redaction) -> Counts:
        """The next customers; and when none is left, all addresses, which nobody can tell any more."""
        counts = await self.rows.redact_next(connection, redaction)
        if counts:
            return counts
        result: str = await connection.execute(
            "DELETE FROM admin_features.addresses a WHERE a.merchant_id = $1", redaction.merchant_id
        )
        deleted = int(result.rpartition(" ")[2])
        return {"addresses": deleted} if deleted else {}

    async def held(
        self, connection: Connection, merchant_id: str, customer_id: int, keys: MerchantKeys | None
    ) -> Mapping[str, Sequence[Any]]:
        """The customer's messages, what their addresses want, and marks."""
        return await self.rows.held(connection, merchant_id, customer_id, keys)
