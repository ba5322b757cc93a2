"""What gamification does on request: badges are defined, given and taken by hand, and shown to their customers."""

from dataclasses import replace
from zoneinfo import ZoneInfo

from loyalnest.admin_core.events import AuditLog
from loyalnest.gamification import badge_repository, repository, rules, sweep_repository
from loyalnest.gamification.badge_repository import Listed
from loyalnest.gamification.cache import BadgeCache
from loyalnest.gamification.definitions import MAX_BADGES, Draft, checked, default_badges, described, is_one_line
from loyalnest.gamification.evaluation import Evaluator, told
from loyalnest.gamification.models import Badge, Change, Holder, Holding, Progress
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import current
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.errors import Conflict, InvalidInput, NotFound, PreconditionFailed
from loyalnest.kit.events import Event
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.paging import number_after, page_limit, page_of
from loyalnest.kit.program import Program
from loyalnest.kit.rules_projection import RulesProjection

MAX_REASON = 500


class BadgeService:
    """Use cases of one merchant at a time. `merchant_id` always comes from the call's context, never from its input.

    What changes badges first asks for a sweep and then waits for evaluations under way, in this order: a sweep holds
    its own row while it evaluates.
    """

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        projection: RulesProjection,
        evaluator: Evaluator,
        cache: BadgeCache,
        clock: Clock,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._projection = projection
        self._evaluator = evaluator
        self._cache = cache
        self._clock = clock

    async def provision(self, program: Program) -> None:
        """Give a new merchant its rules and the default badges; what a known one has, or has deleted, stays so."""
        merchant_id = program.merchant_id
        async with self._database.request(merchant_id) as connection:
            await self._projection.seed(connection, merchant_id, program.spec.rules)
            if await sweep_repository.seed(connection, merchant_id):
                await badge_repository.insert(connection, merchant_id, default_badges(), self._clock())

    async def badges(self, merchant_id: str) -> list[Listed]:
        """All badges by key; there are at most `MAX_BADGES`."""
        async with self._database.request(merchant_id) as connection:
            return await badge_repository.listed(connection, merchant_id)

    async def badge(self, merchant_id: str, badge_key: str) -> Listed:
        """One badge. Raises NotFound."""
        async with self._database.request(merchant_id) as connection:
            found = await badge_repository.listed(connection, merchant_id, badge_key)
        if not found:
            raise _unknown(badge_key)
        return found[0]

    async def create(self, merchant_id: str, draft: Draft) -> Listed:
        """Define a badge; customers who have earned it already are given it by the next sweep.

        Raises InvalidInput with everything that is wrong, Conflict for a key that is taken.
        """
        badge, now = checked(draft), self._clock()
        async with self._database.request(merchant_id) as connection:
            await sweep_repository.request(connection, [merchant_id])
            await badge_repository.lock_badges(connection, merchant_id)
            if await badge_repository.count(connection, merchant_id) >= MAX_BADGES:
                raise PreconditionFailed(f"There are {MAX_BADGES} badges already, and no more are possible.")
            if not await badge_repository.insert(connection, merchant_id, [badge], now):
                raise Conflict(
                    f"There is a badge {badge.key!r}, or one that was deleted and is being taken from its holders: "
                    "choose another key, or try again in a minute."
                )
            await self._audit(connection, merchant_id, "badge.created", badge.key, {}, described(badge))
        return await self.badge(merchant_id, badge.key)

    async def update(self, merchant_id: str, expected_version: int, draft: Draft) -> Listed:
        """Replace a badge. A changed rule is applied to the past too, by the next sweep.

        Raises InvalidInput, NotFound, and Conflict if the badge's version is not `expected_version`.
        """
        wanted = checked(draft)
        async with self._database.request(merchant_id) as connection:
            await sweep_repository.request(connection, [merchant_id])
            await badge_repository.lock_badges(connection, merchant_id)
            known = await self._known(connection, merchant_id, wanted.key)
            if known.version != expected_version:
                raise Conflict(
                    f"The badge was changed meanwhile: it has version {known.version}, and {expected_version} was "
                    "expected. Read it again and repeat the change."
                )
            wanted = replace(wanted, version=known.version + 1)
            await badge_repository.update(connection, merchant_id, wanted, self._clock())
            before, after = described(known), described(wanted)
            changed = [name for name in after if before[name] != after[name]]
            await self._audit(
                connection,
                merchant_id,
                "badge.updated",
                wanted.key,
                {name: before[name] for name in changed},
                {name: after[name] for name in changed},
            )
        return await self.badge(merchant_id, wanted.key)

    async def delete(self, merchant_id: str, badge_key: str) -> None:
        """Delete a badge: nobody sees it from now on, and a job takes it from its holders. Raises NotFound."""
        async with self._database.request(merchant_id) as connection:
            await badge_repository.lock_badges(connection, merchant_id)
            known = await self._known(connection, merchant_id, badge_key)
            await badge_repository.mark_deleted(connection, merchant_id, badge_key, self._clock())
            await self._audit(connection, merchant_id, "badge.deleted", badge_key, described(known), {})

    async def holders(
        self, merchant_id: str, badge_key: str, page_size: int, page_token: str
    ) -> tuple[list[Holder], str]:
        """A page of a badge's holders by id, and the token of the next page (empty at the end). Raises NotFound."""
        limit, after = page_limit(page_size), number_after(page_token)
        async with self._database.request(merchant_id) as connection:
            await self._known(connection, merchant_id, badge_key)
            rows = await badge_repository.holders(connection, merchant_id, badge_key, after, limit + 1)
        return page_of(rows, limit, lambda row: row.customer_id)

    async def decide(self, merchant_id: str, customer_id: int, badge_key: str, *, held: bool, reason: str) -> None:
        """Give a badge by hand, or take it; from then on its rule is not asked for this customer.

        Giving one that is held, or taking one that is not, changes nothing. Raises InvalidInput without a reason,
        NotFound for an unknown badge.
        """
        reason = reason.strip()
        if not 0 < len(reason) <= MAX_REASON or not is_one_line(reason):
            raise InvalidInput(f"reason must be one line of 1 to {MAX_REASON} characters: it goes into the audit log.")
        key, now = (merchant_id, customer_id), self._clock()
        async with self._database.request(merchant_id) as connection:
            await repository.lock_customers(connection, [key])
            await repository.hold_badges(connection, [merchant_id])
            badge = await self._known(connection, merchant_id, badge_key)
            before = (await repository.holdings_of(connection, [key]))[key].get(badge_key, Holding(held=False))
            if before.held == held:
                return
            await badge_repository.decide_by_hand(
                connection, *key, badge_key, held=held, actor=current().actor, reason=reason, now=now
            )
            await self._outbox.append(connection, [told(Change(*key, badge, held), now)])
            await self._audit(
                connection,
                merchant_id,
                "badge.awarded" if held else "badge.revoked",
                f"{badge_key}, customer:{customer_id}",
                {"held": str(before.held).lower()},
                {"held": str(held).lower(), "reason": reason},
            )
        await self._cache.forget([key])

    async def customer_badges(self, merchant_id: str, customer_id: int) -> list[Progress]:
        """The customer's badges, and how far the customer is with the others; by the badges' keys."""
        key = merchant_id, customer_id

        async def read() -> list[Progress]:
            async with self._database.request(merchant_id, snapshot=True) as connection:
                timezone = (await self._evaluator.timezones(connection, [merchant_id]))[merchant_id]
                badges = (await repository.badges_in_force(connection, [merchant_id]))[merchant_id]
                facts = (await repository.facts_of(connection, [key], [merchant_id]))[key]
                holdings = (await repository.holdings_of(connection, [key]))[key]
            zone, now = ZoneInfo(timezone), self._clock()
            held = {badge.key: holdings.get(badge.key, Holding(held=False)) for badge in badges}
            return [
                rules.progress(badge, facts, held[badge.key], zone, now)
                for badge in badges
                if badge.enabled or held[badge.key].held
            ]

        return await self._cache.get(key, read)

    async def _known(self, connection: Connection, merchant_id: str, badge_key: str) -> Badge:
        found = await badge_repository.one(connection, merchant_id, badge_key)
        if found is None:
            raise _unknown(badge_key)
        return found

    async def _audit(
        self,
        connection: Connection,
        merchant_id: str,
        action: str,
        subject: str,
        before: dict[str, str],
        after: dict[str, str],
    ) -> None:
        context = current()
        entry = AuditLog(
            actor=context.actor,
            role=context.role,
            action=action,
            subject=f"badge:{subject}",
            before=before,
            after=after,
            at=self._clock(),
        )
        event: Event = entry.event(merchant_id, f"badge:{subject}")
        await self._outbox.append(connection, [event])


def _unknown(badge_key: str) -> NotFound:
    return NotFound(f"No badge {badge_key[:60]!r} is known.")
