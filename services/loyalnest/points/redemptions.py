"""Redemptions: points are held, a discount code is made, and the points are spent or come back.

The points are held in one transaction and the outcome is noted in a second, with the call to Shopify in between and
outside both. A kill at any point leaves the redemption held under its code; `finish_left_held` asks again, and
asking twice makes one code.
"""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import structlog

from loyalnest.admin_core.events import AuditLog
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import current
from loyalnest.kit.database import OUTAGES, Connection, Database
from loyalnest.kit.errors import Conflict, InvalidInput, NotFound, PreconditionFailed
from loyalnest.kit.events import Event, new_id
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.paging import page_limit, page_of, uuid_after
from loyalnest.kit.program import Reward
from loyalnest.kit.rules_projection import RulesProjection
from loyalnest.points import ledger
from loyalnest.points import redemption_repository as repository
from loyalnest.points.discounts import DiscountIssuer, Issued, Refused
from loyalnest.points.events import PointsRedeemed
from loyalnest.points.models import Origin
from loyalnest.points.redemption_repository import Discount, Redemption
from loyalnest.points.repository import Book

log = structlog.get_logger(__name__)

LEFT_HELD_AFTER = timedelta(seconds=30)
"""A redemption that is held this long lost its process or found Shopify away; the job takes it up."""
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"


class Redemptions:
    """Use cases of redemptions, for one merchant at a time but for the job."""

    def __init__(
        self, database: Database, outbox: Outbox, rules: RulesProjection, issuer: DiscountIssuer, clock: Clock
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._rules = rules
        self._issuer = issuer
        self._clock = clock

    async def redeem(self, merchant_id: str, customer_id: int, reward_name: str, key: str) -> Redemption:
        """Spend points on a reward, once per idempotency `key`.

        The result's status is `issued`, or `refused` if Shopify said no, or `held` if Shopify is away and the
        outcome will follow. Raises PreconditionFailed with too few points, NotFound for an unknown reward, Conflict
        for a key that was used for something else.
        """
        if not key or len(key) > 200:
            raise InvalidInput("A redemption needs an Idempotency-Key of 1 to 200 characters.")
        redemption = await self._hold(merchant_id, customer_id, reward_name, key)
        return await self._finish(redemption) if redemption.status == "held" else redemption

    async def _hold(self, merchant_id: str, customer_id: int, reward_name: str, key: str) -> Redemption:
        async with self._database.request(merchant_id) as connection:
            book = Book()
            await book.lock_members(connection, [(merchant_id, customer_id)])
            made = await repository.by_key(connection, merchant_id, key)
            if made is not None:
                if (made.customer_id, made.reward) != (customer_id, reward_name):
                    raise Conflict(f"The Idempotency-Key {key!r} was used for another redemption.")
                return made
            versioned = (await self._rules.load(connection, [merchant_id]))[merchant_id]
            reward = find_reward(versioned.rules.redemption.rewards, reward_name)
            member = book.members[merchant_id, customer_id]
            if reward.points > member.available:
                raise PreconditionFailed(
                    f"{reward.name} costs {reward.points} points; {max(0, member.available)} are available."
                )
            await book.load_lots(connection, [(merchant_id, customer_id)])
            now = self._clock()
            redemption = Redemption(
                merchant_id=merchant_id,
                redemption_id=new_id(),
                customer_id=customer_id,
                reward=reward.name,
                points=reward.points,
                discount=Discount(
                    amount="" if reward.discount.amount is None else str(reward.discount.amount),
                    percentage="" if reward.discount.percentage is None else str(reward.discount.percentage),
                    currency=versioned.rules.currency,
                ),
                status="held",
                code="LOYAL-" + "".join(secrets.choice(_ALPHABET) for _ in range(10)),
                issued_by="",
                discount_id="",
                reason="",
                idempotency_key=key,
                settings_version=versioned.version,
                created_at=now,
                updated_at=now,
            )
            transaction, lots = ledger.hold(member, reward.points, _origin(redemption, "hold"), now=now)
            book.transactions.append(transaction)
            await book.store(connection)
            await repository.insert(connection, redemption, lots)
        return redemption

    async def _finish(self, redemption: Redemption) -> Redemption:
        """Ask for the code and note the outcome; the redemption as it then stands."""
        try:
            outcome = await self._issuer.issue(redemption)
        except OUTAGES as error:
            log.warning("redemption.waits", redemption_id=str(redemption.redemption_id), error=str(error))
            return redemption
        return await self._note(redemption, outcome)

    async def _note(self, redemption: Redemption, outcome: Issued | Refused) -> Redemption:
        async with self._database.request(redemption.merchant_id) as connection:
            stored = await self._locked(connection, redemption.merchant_id, redemption.redemption_id)
            if stored.status != "held":  # another process was quicker
                return stored
            now = self._clock()
            book = Book()
            await book.lock_members(connection, [(stored.merchant_id, stored.customer_id)])
            member = book.members[stored.merchant_id, stored.customer_id]
            if isinstance(outcome, Refused):
                stored = replace(stored, status="refused", reason=outcome.reason, updated_at=now)
                await self._give_back(connection, book, stored, settled=False)
            else:
                stored = replace(
                    stored, status="issued", issued_by=outcome.by, discount_id=outcome.discount_id, updated_at=now
                )
                origin = _origin(stored, "issued")
                book.transactions.append(ledger.settle(member, stored.points, origin, now=now))
                await self._outbox.append(connection, [_redeemed(stored, cancelled=False)])
            await book.store(connection)
            await repository.update_status(connection, stored)
            if stored.customer_id < 0:  # redacted while it was held
                await repository.forget_code(connection, stored)
        return stored

    async def cancel(self, merchant_id: str, redemption_id: UUID, reason: str) -> Redemption:
        """Give an issued redemption's points back to the lots they came from; a second call changes nothing.

        The code itself is not withdrawn at Shopify: the admin who cancels does that, and the note says who it was.
        Raises PreconditionFailed for one that is held or was refused.
        """
        if not reason.strip():
            raise InvalidInput("A cancellation needs a reason: it stands in the audit log.")
        context = current()
        async with self._database.request(merchant_id) as connection:
            stored = await self._locked(connection, merchant_id, redemption_id)
            if stored.status == "cancelled":
                return stored
            if stored.status != "issued":
                raise PreconditionFailed(f"Only an issued redemption can be cancelled; this one is {stored.status}.")
            stored = replace(stored, status="cancelled", reason=reason.strip()[:500], updated_at=self._clock())
            book = Book()
            await book.lock_members(connection, [(merchant_id, stored.customer_id)])
            await self._give_back(connection, book, stored, settled=True)
            await book.store(connection)
            await repository.update_status(connection, stored)
            audit = AuditLog(
                actor=context.actor,
                role=context.role,
                action="redemption.cancelled",
                subject=f"redemption:{redemption_id}",
                before={"status": "issued"},
                after={"status": "cancelled", "reason": stored.reason, "customer_id": str(stored.customer_id)},
                at=stored.updated_at,
            )
            await self._outbox.append(
                connection, [_redeemed(stored, cancelled=True), audit.event(merchant_id, str(stored.customer_id))]
            )
        return stored

    async def _give_back(self, connection: Connection, book: Book, stored: Redemption, *, settled: bool) -> None:
        key = (stored.merchant_id, stored.customer_id)
        lots = await repository.lots_of(connection, stored.merchant_id, stored.redemption_id)
        await book.load_lots(connection, [key], [(stored.merchant_id, lot_id) for lot_id in lots])
        book.transactions.extend(
            ledger.release(book.members[key], lots, _origin(stored, "release"), now=stored.updated_at, settled=settled)
        )

    async def get(self, merchant_id: str, redemption_id: UUID) -> Redemption:
        """One redemption. Raises NotFound."""
        async with self._database.request(merchant_id) as connection:
            found = await repository.get(connection, merchant_id, redemption_id)
        if found is None:
            raise NotFound(f"No redemption {redemption_id} is known.")
        return found

    async def list_for(
        self, merchant_id: str, customer_id: int, page_size: int, page_token: str
    ) -> tuple[list[Redemption], str]:
        """A page of redemptions, newest first, of every customer if `customer_id` is 0; and the next page's token."""
        limit = page_limit(page_size)
        async with self._database.request(merchant_id) as connection:
            rows = await repository.list_for(connection, merchant_id, customer_id, uuid_after(page_token), limit + 1)
        return page_of(rows, limit, lambda row: row.redemption_id)

    async def finish_left_held(self) -> int:
        """Take up redemptions whose process died or found Shopify away. Returns how many were finished."""
        now, finished = self._clock(), 0
        async with self._database.worker() as connection:
            left = await repository.take_left_held(connection, now - LEFT_HELD_AFTER, now, 50)
        for redemption in left:
            try:
                finished += (await self._finish(redemption)).status != "held"
            except Exception:  # a fault of one must not keep the others waiting
                log.exception("redemption.failed", redemption_id=str(redemption.redemption_id))
        return finished

    async def _locked(self, connection: Connection, merchant_id: str, redemption_id: UUID) -> Redemption:
        stored = await repository.get(connection, merchant_id, redemption_id, lock=True)
        if stored is None:
            raise NotFound(f"No redemption {redemption_id} is known.")
        return stored


def find_reward(rewards: Sequence[Reward], name: str) -> Reward:
    """The reward of that name. Raises NotFound naming those there are."""
    for reward in rewards:
        if reward.name == name:
            return reward
    names = ", ".join(reward.name for reward in rewards) or "none"
    raise NotFound(f"No reward {name!r}; there is: {names}.")


def _origin(redemption: Redemption, step: str) -> Origin:
    return Origin(
        source=f"redemption:{redemption.redemption_id}:{step}",
        rule=redemption.reward,
        settings_version=redemption.settings_version,
        actor=current().actor,
        note=redemption.reason,
    )


def _redeemed(redemption: Redemption, *, cancelled: bool) -> Event:
    payload = PointsRedeemed(
        customer_id=redemption.customer_id,
        redemption_id=redemption.redemption_id,
        reward=redemption.reward,
        points=redemption.points,
        cancelled=cancelled,
    )
    return payload.event(redemption.merchant_id, str(redemption.customer_id))
