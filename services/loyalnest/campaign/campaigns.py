"""Bonus campaigns: planned, changed and ended by admins, audited, and told whole to points, which awards by them.

What was given of a budget is points' to know, because there it has to hold; it is asked when a campaign is shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol
from uuid import UUID

from loyalnest.admin_core.events import AuditLog
from loyalnest.campaign import campaign_repository, plans
from loyalnest.campaign.models import Campaign, Plan
from loyalnest.campaign.tiers import TierRules
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import current
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.errors import Conflict, DeadlineExceeded, InvalidInput, NotFound, Unavailable
from loyalnest.kit.events import new_id
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.paging import page_limit, page_of, uuid_after
from loyalnest.kit.rules_projection import RulesProjection


class Spending(Protocol):
    """Who knows what campaigns have given."""

    async def spent(self, campaign_ids: Sequence[UUID]) -> Mapping[UUID, int]:
        """Points that stand of each, of the merchant of the call; those that gave none may be left out."""


class Campaigns:
    """Use cases of one merchant at a time. `merchant_id` always comes from the call's context, never from its input."""

    def __init__(
        self, database: Database, outbox: Outbox, rules: RulesProjection, spending: Spending, clock: Clock
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._rules = rules
        self._spending = spending
        self._clock = clock

    async def create(self, merchant_id: str, plan: Plan, key: str) -> Campaign:
        """Plan a campaign, once per `key`. It may begin at once, and may have begun.

        Raises InvalidInput with everything that is wrong with the plan, Conflict for a key used differently.
        """
        if not key or len(key) > 200:
            raise InvalidInput("A campaign needs an idempotency key of 1 to 200 characters.")
        async with self._database.request(merchant_id) as connection:
            plan = plans.checked(plan, await self._ladder(connection, merchant_id))
            now = self._clock()
            if plan.ends_at <= now:
                raise InvalidInput("ends_at: must be in the future.")
            campaign = Campaign(new_id(), 1, plan, ended=False, created_at=now, changed_at=now)
            if await campaign_repository.create(connection, merchant_id, campaign, key):
                await self._tell(connection, merchant_id, "campaign.created", None, campaign)
                return campaign
            made = await campaign_repository.of_key(connection, merchant_id, key)
        if made is None or (made.version == 1 and made.plan != plan):
            raise Conflict(f"The idempotency key {key!r} was used for another campaign.")
        return made

    async def update(self, merchant_id: str, campaign_id: UUID, version: int, plan: Plan) -> Campaign:
        """Put another plan in a campaign's place. An equal one makes no new version.

        Raises InvalidInput as `create`, Conflict if `version` is not the one that stands, and PreconditionFailed for
        what may not change any more (see `plans.changed`).
        """
        async with self._database.request(merchant_id) as connection:
            known = await self._locked(connection, merchant_id, campaign_id)
            if known.version != version:
                raise Conflict(f"The campaign has version {known.version} by now, not {version}: look at it again.")
            now = self._clock()
            # Names of tiers that were there when it was planned stay good.
            ladder = [*await self._ladder(connection, merchant_id), *known.plan.tiers]
            plan = plans.changed(known, plans.checked(plan, list(dict.fromkeys(ladder))), now)
            if plan == known.plan:
                return known
            campaign = replace(known, version=known.version + 1, plan=plan, changed_at=now)
            await campaign_repository.update(connection, merchant_id, campaign)
            await self._tell(connection, merchant_id, "campaign.updated", known, campaign)
        return campaign

    async def end(self, merchant_id: str, campaign_id: UUID) -> Campaign:
        """Stop a campaign for good: it gives nothing from when points learns of it. Repeating it changes nothing."""
        async with self._database.request(merchant_id) as connection:
            known = await self._locked(connection, merchant_id, campaign_id)
            if known.ended:
                return known
            campaign = replace(known, version=known.version + 1, ended=True, changed_at=self._clock())
            await campaign_repository.update(connection, merchant_id, campaign)
            await self._tell(connection, merchant_id, "campaign.ended", known, campaign)
        return campaign

    async def get(self, merchant_id: str, campaign_id: UUID) -> Campaign:
        """A campaign. Raises NotFound."""
        async with self._database.request(merchant_id) as connection:
            found = await campaign_repository.get(connection, merchant_id, campaign_id)
        if found is None:
            raise _unknown(campaign_id)
        return found

    async def list_of(self, merchant_id: str, page_size: int, page_token: str) -> tuple[list[Campaign], str]:
        """A page of campaigns, the last created first, and the token of the next page (empty at the end)."""
        limit = page_limit(page_size)
        async with self._database.request(merchant_id) as connection:
            rows = await campaign_repository.before(connection, merchant_id, uuid_after(page_token), limit + 1)
        return page_of(rows, limit, lambda row: row.campaign_id)

    async def spent(self, campaigns: Sequence[Campaign]) -> Mapping[UUID, int] | None:
        """Points that stand of what each has given, by points' books; None while points cannot be reached."""
        if not campaigns:
            return {}
        try:
            return await self._spending.spent([campaign.campaign_id for campaign in campaigns])
        except (Unavailable, DeadlineExceeded):
            return None

    def state(self, campaign: Campaign) -> str:
        """See `Campaign.state`."""
        return campaign.state(self._clock())

    async def _ladder(self, connection: Connection, merchant_id: str) -> list[str]:
        rules = (await self._rules.load(connection, [merchant_id]))[merchant_id]
        return [tier.name for tier in TierRules.of(rules).tiers]

    async def _locked(self, connection: Connection, merchant_id: str, campaign_id: UUID) -> Campaign:
        known = await campaign_repository.get(connection, merchant_id, campaign_id, lock=True)
        if known is None:
            raise _unknown(campaign_id)
        return known

    async def _tell(
        self, connection: Connection, merchant_id: str, action: str, before: Campaign | None, after: Campaign
    ) -> None:
        context = current()
        was, now = plans.as_text(before.plan) if before else {}, plans.as_text(after.plan)
        audit = AuditLog(
            actor=context.actor,
            role=context.role,
            action=action,
            subject=f"campaign:{after.campaign_id}",
            before={name: text for name, text in was.items() if text != now[name]},
            after={name: text for name, text in now.items() if text != was.get(name)}
            | {"version": str(after.version), "ended": str(after.ended).lower()},
            at=after.changed_at,
        )
        key = str(after.campaign_id)
        await self._outbox.append(connection, [after.told().event(merchant_id, key), audit.event(merchant_id, key)])


def _unknown(campaign_id: UUID) -> NotFound:
    return NotFound(f"There is no campaign {campaign_id}.")
