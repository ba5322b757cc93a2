"""Inviting friends: a customer's link by e-mail or SMS, to each friend once and not too often."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from loyalnest.kit.clock import Clock
from loyalnest.kit.crypto.keyring import KeyRing, MerchantKeys
from loyalnest.kit.crypto.lookup import normalise_phone
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.errors import InvalidInput, PreconditionFailed, RateLimited
from loyalnest.kit.events import new_id
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.paging import page_limit, page_of, uuid_after
from loyalnest.referrals import request_repository
from loyalnest.referrals.events import SHARE_PURPOSE, ReferralShared
from loyalnest.referrals.identity import EMAIL, PHONE, hash_of, same_email, same_phone
from loyalnest.referrals.links import Links
from loyalnest.referrals.models import Channel, Link, Share

SHARES_A_DAY: Final = 20
"""Friends that one customer may invite within 24 hours: enough for a large family, too few for a mailing."""
MAX_EMAIL: Final = 320

_EMAIL = re.compile(r"[^@\s,;<>\x00-\x1f\x7f]+@[^@\s,;<>\x00-\x1f\x7f]+\.[^@\s,;<>\x00-\x1f\x7f.]+")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


@dataclass(frozen=True, slots=True)
class Friend:
    """Whom an invitation goes to. address: as a message needs it; kind and same: by what the friend is recognised."""

    channel: Channel
    address: str
    kind: str
    same: str


class Sharing:
    """Use cases of one merchant at a time."""

    def __init__(self, database: Database, outbox: Outbox, keys: KeyRing, links: Links, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._keys = keys
        self._links = links
        self._clock = clock

    async def share(self, merchant_id: str, customer_id: int, channel: str, address: str) -> tuple[Share, str]:
        """Invite a friend, once by each channel: a second time nothing is sent. Returns the share and its link.

        Raises InvalidInput for an address that is none, PreconditionFailed for the customer's own or where the shop
        offers no referrals, RateLimited above `SHARES_A_DAY`.
        """
        friend = friend_at(channel, address)
        made = await self._links.create(merchant_id, customer_id)
        keys = await self._keys.for_merchant(merchant_id)
        url = await self._links.url(merchant_id, made.code, friend.channel)
        async with self._database.request(merchant_id) as connection:
            link = await request_repository.lock_link(connection, merchant_id, customer_id, self._clock())
            if link is None or link.code != made.code:
                raise PreconditionFailed("The customer was redacted just now.")
            return await self._share(connection, keys, link, friend, url), url

    async def listed(
        self, merchant_id: str, customer_id: int, page_size: int, page_token: str
    ) -> tuple[list[tuple[Share, str]], str]:
        """A page of a customer's shares with their links, newest first, and the next page's token."""
        limit, before = page_limit(page_size), uuid_after(page_token)
        async with self._database.request(merchant_id) as connection:
            link = await request_repository.link_of(connection, merchant_id, customer_id)
            rows = await request_repository.shares(connection, merchant_id, customer_id, before, limit + 1)
        page, token = page_of(rows, limit, lambda row: row.share_id)
        code = link.code if link is not None else ""
        return [(each, await self._links.url(merchant_id, code, each.channel)) for each in page], token

    async def _share(self, connection: Connection, keys: MerchantKeys, link: Link, friend: Friend, url: str) -> Share:
        now, merchant_id, customer_id = self._clock(), keys.merchant_id, link.customer_id
        friend_hash = hash_of(keys, friend.kind, friend.same)
        before = await request_repository.share_with(connection, merchant_id, customer_id, friend.channel, friend_hash)
        if before is not None:
            return before
        if await request_repository.is_of(connection, merchant_id, customer_id, friend.kind, friend_hash):
            raise PreconditionFailed("This is the customer's own address; an invitation goes to a friend.")
        since = now - timedelta(days=1)
        if await request_repository.shares_since(connection, merchant_id, customer_id, since) >= SHARES_A_DAY:
            raise RateLimited(f"A customer may invite {SHARES_A_DAY} friends a day; try again tomorrow.", 3600.0)
        share = Share(new_id(), customer_id, friend.channel, now)
        await request_repository.add_share(connection, merchant_id, share, friend_hash)
        offer = (await self._links.rules(connection, merchant_id)).referrals
        told = ReferralShared(
            share_id=share.share_id,
            customer_id=customer_id,
            channel=friend.channel,
            link=url,
            friend_points=offer.friend_points if offer is not None else 0,
            sealed=keys.seal(SHARE_PURPOSE, friend.address.encode()),
            shared_at=now,
        )
        await self._outbox.append(connection, [told.event(merchant_id, str(customer_id))])
        return share


def friend_at(channel: str, address: str) -> Friend:
    """The friend at an address. Raises InvalidInput for a channel without addresses, or an address that is none."""
    text = address.strip()
    if channel == Channel.EMAIL:
        if len(text) > MAX_EMAIL or not _EMAIL.fullmatch(text) or not (same := same_email(text)):
            raise InvalidInput(f"address: must be one e-mail address of at most {MAX_EMAIL} characters")
        return Friend(Channel.EMAIL, text, EMAIL, same)
    if channel == Channel.SMS:
        number = normalise_phone(text) if len(text) <= MAX_EMAIL else ""
        if not _E164.fullmatch(number):
            raise InvalidInput("address: must be a phone number with its country, such as +1 217 555 0123")
        return Friend(Channel.SMS, number, PHONE, same_phone(number))
    raise InvalidInput("channel: must be email or sms; a link is shared by the customer without us")
