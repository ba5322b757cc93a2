"""What campaign does on request about tiers."""

from dataclasses import dataclass

from loyalnest.campaign import repository, rules_repository, tier_repository
from loyalnest.campaign.models import Member, TierChange
from loyalnest.campaign.tier_repository import CountedTier
from loyalnest.campaign.tiers import TierRules, standing
from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.errors import NotFound
from loyalnest.kit.paging import number_after, page_limit, page_of, uuid_after
from loyalnest.kit.program import Program, VipTier
from loyalnest.kit.rules_projection import RulesProjection


@dataclass(frozen=True, slots=True)
class TierView:
    """A customer's tier. points: those that count today. next_tier: the one above; None in the highest."""

    member: Member
    level: int
    points: int
    next_tier: VipTier | None


class TierService:
    """Use cases of one merchant at a time. `merchant_id` always comes from the call's context, never from its input."""

    def __init__(self, database: Database, rules: RulesProjection, clock: Clock) -> None:
        self._database = database
        self._rules = rules
        self._clock = clock

    async def provision(self, program: Program) -> None:
        """Give a new merchant's rules to the projection; those it has stay."""
        merchant_id = program.merchant_id
        async with self._database.request(merchant_id) as connection:
            await repository.lock_merchants(connection, [merchant_id], exclusively=True)
            await self._rules.seed(connection, merchant_id, program.spec.rules)
            await rules_repository.replace_tiers(connection, {merchant_id: await self._tiers(connection, merchant_id)})

    async def tier_of(self, merchant_id: str, customer_id: int) -> TierView:
        """A customer's tier as it was last told, and what is missing to the next.

        One who is not known yet is as one who has just joined. Raises NotFound if the program has no tiers.
        """
        async with self._database.request(merchant_id) as connection:
            rules = await self._tiers(connection, merchant_id)
            if not rules.tiers:
                raise NotFound("This program has no VIP tiers; they are written in its rules.")
            member = await tier_repository.member(connection, merchant_id, customer_id)
            days = await repository.earned_days(connection, [(merchant_id, customer_id)], {merchant_id: rules})
        first = rules.tiers[0]
        member = member or Member(merchant_id, customer_id, first.name, first.threshold, first.multiplier)
        points = standing(days.get((merchant_id, customer_id), ()), rules, rules.today(self._clock())).points
        level = rules.place(member.tier) or 0  # a name that is no more: its member is about to be evaluated
        above = rules.tiers[level + 1] if level + 1 < len(rules.tiers) else None
        return TierView(member, level, points, above)

    async def tiers(self, merchant_id: str) -> tuple[list[CountedTier], TierRules, bool]:
        """The tiers with their members counted, their rules, and whether all members are evaluated by these."""
        async with self._database.request(merchant_id, snapshot=True) as connection:
            return (
                await tier_repository.counted_tiers(connection, merchant_id),
                await self._tiers(connection, merchant_id),
                await tier_repository.is_evaluated(connection, merchant_id),
            )

    async def members_of(
        self, merchant_id: str, tier: str, page_size: int, page_token: str
    ) -> tuple[list[Member], str]:
        """A page of a tier's members by id, and the token of the next page (empty at the end).

        Raises NotFound naming the tiers that there are.
        """
        limit, after = page_limit(page_size), number_after(page_token)
        async with self._database.request(merchant_id) as connection:
            names = [each.name for each in (await self._tiers(connection, merchant_id)).tiers]
            if tier not in names:
                raise NotFound(f"No tier {tier[:60]!r}; there is: {', '.join(names) or 'none'}.")
            rows = await tier_repository.members_of(connection, merchant_id, tier, after, limit + 1)
        return page_of(rows, limit, lambda row: row.customer_id)

    async def history(
        self, merchant_id: str, customer_id: int, page_size: int, page_token: str
    ) -> tuple[list[TierChange], str]:
        """A page of a customer's changes of tier, newest first, and the token of the next page."""
        limit, before = page_limit(page_size), uuid_after(page_token)
        async with self._database.request(merchant_id) as connection:
            rows = await tier_repository.history(connection, merchant_id, customer_id, before, limit + 1)
        return page_of(rows, limit, lambda row: row.change_id)

    async def _tiers(self, connection: Connection, merchant_id: str) -> TierRules:
        return TierRules.of((await self._rules.load(connection, [merchant_id]))[merchant_id])
