"""What points does on request: balances, history, adjustments, and proving the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from loyalnest.admin_core.events import AuditLog
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import current
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.errors import Conflict, InvalidInput, NotFound, PreconditionFailed
from loyalnest.kit.events import Event
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.paging import MAX_PAGE, page_limit, page_of, uuid_after
from loyalnest.kit.program import Program, ProgramRules
from loyalnest.kit.rules_projection import RulesProjection
from loyalnest.points import balance_repository, campaign_repository, ledger, verification_repository
from loyalnest.points.balance_repository import Totals
from loyalnest.points.events import PointsEarned
from loyalnest.points.models import Member, Origin
from loyalnest.points.repository import Book
from loyalnest.points.rules import lot_times

MAX_AWARDS = 250
MAX_ADJUSTMENT = 10**9
"""Points that one adjustment may move; a slip of the keyboard should not mint a fortune."""


@dataclass(frozen=True, slots=True)
class Balance:
    """A customer's points as shown: `available` is never below zero, what is below is `debt`."""

    customer_id: int
    available: int
    pending: int
    held: int
    debt: int
    lifetime_earned: int
    lifetime_redeemed: int
    expiring: list[tuple[int, datetime]]


class PointsService:
    """Use cases of one merchant at a time. `merchant_id` always comes from the call's context, never from its input."""

    def __init__(self, database: Database, outbox: Outbox, rules: RulesProjection, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._rules = rules
        self._clock = clock

    async def provision(self, program: Program) -> None:
        """Give a new merchant's rules to the projection; those it has stay."""
        async with self._database.request(program.merchant_id) as connection:
            await self._rules.seed(connection, program.merchant_id, program.spec.rules)

    async def rules(self, merchant_id: str) -> ProgramRules:
        """The rules in force. Raises NotFound for a merchant without any."""
        async with self._database.request(merchant_id) as connection:
            return (await self._rules.load(connection, [merchant_id]))[merchant_id].rules

    async def balance(self, merchant_id: str, customer_id: int) -> Balance:
        """A customer's balances; zeros for one who has none."""
        async with self._database.request(merchant_id) as connection:
            row = await balance_repository.balance(connection, merchant_id, customer_id)
            if row is None:
                return Balance(customer_id, 0, 0, 0, 0, 0, 0, [])
            expiring = await balance_repository.expiring(connection, merchant_id, customer_id)
        return Balance(
            customer_id=customer_id,
            available=max(0, row["available"]),
            pending=row["pending"],
            held=row["held"],
            debt=max(0, -row["available"]),
            lifetime_earned=row["lifetime_earned"],
            lifetime_redeemed=row["lifetime_redeemed"],
            expiring=expiring,
        )

    async def history(
        self, merchant_id: str, customer_id: int, page_size: int, page_token: str
    ) -> tuple[list[Any], str]:
        """A page of transactions, newest first, and the token of the next page (empty at the end)."""
        limit = page_limit(page_size)
        async with self._database.request(merchant_id) as connection:
            rows = await balance_repository.transactions(
                connection, merchant_id, customer_id, uuid_after(page_token), limit + 1
            )
        return page_of(rows, limit, lambda row: row["transaction_id"])

    async def award(self, merchant_id: str, order_id: int) -> Any:
        """What an order earned. Raises NotFound for an order that is unknown."""
        async with self._database.request(merchant_id) as connection:
            rows = await balance_repository.awards(connection, merchant_id, [order_id])
        if not rows:
            raise NotFound(f"No order {order_id} is known.")
        return rows[0]

    async def awards(self, merchant_id: str, orders: Sequence[int]) -> Sequence[Any]:
        """What is known of orders. Raises InvalidInput for too many."""
        if len(orders) > MAX_AWARDS:
            raise InvalidInput(f"order_ids: at most {MAX_AWARDS} at once")
        async with self._database.request(merchant_id) as connection:
            return await balance_repository.awards(connection, merchant_id, list(orders))

    async def campaign_spending(self, merchant_id: str, campaign_ids: Sequence[UUID]) -> Mapping[UUID, int]:
        """What stands of the points that campaigns gave; those that are not known here are left out.

        Raises InvalidInput for more than `MAX_PAGE` at once.
        """
        if len(campaign_ids) > MAX_PAGE:
            raise InvalidInput(f"At most {MAX_PAGE} campaigns can be asked for at once.")
        async with self._database.request(merchant_id) as connection:
            return await campaign_repository.spending(connection, merchant_id, campaign_ids)

    async def adjust(self, merchant_id: str, customer_id: int, points: int, reason: str, key: str) -> Any:
        """Grant (`points` > 0) or deduct points, once per `key`. Returns the transaction.

        A grant becomes a lot with the program's expiry, available at once.
        Raises PreconditionFailed for a deduction of more than is available, Conflict for a key used differently.
        """
        if not reason.strip():
            raise InvalidInput("An adjustment needs a reason: it stands in the ledger and the audit log.")
        if not key or len(key) > 200:
            raise InvalidInput("An adjustment needs an idempotency key of 1 to 200 characters.")
        if points == 0 or abs(points) > MAX_ADJUSTMENT:
            raise InvalidInput(f"An adjustment moves between 1 and {MAX_ADJUSTMENT} points either way.")
        origin = Origin(source=f"adjustment:{key}", actor=current().actor, note=reason.strip()[:500])
        async with self._database.request(merchant_id) as connection:
            book = Book()
            await book.lock_members(connection, [(merchant_id, customer_id)])
            made = await balance_repository.transaction_of(connection, merchant_id, origin.source)
            if made is not None:
                if (made["customer_id"], made["points"]) != (customer_id, points):
                    raise Conflict(f"The idempotency key {key!r} was used for another adjustment.")
                return made
            events = await self._post_adjustment(
                connection, book, book.members[merchant_id, customer_id], points, origin
            )
            await self._outbox.append(connection, events)
            return await balance_repository.transaction_of(connection, merchant_id, origin.source)

    async def _post_adjustment(
        self, connection: Connection, book: Book, member: Member, points: int, origin: Origin
    ) -> list[Event]:
        """Post an adjustment of a locked member; the events that tell of it."""
        context, now = current(), self._clock()
        merchant_id, customer_id, before = member.merchant_id, member.customer_id, member.available
        versioned = (await self._rules.load(connection, [merchant_id]))[merchant_id]
        origin.settings_version = versioned.version
        if points > 0:
            _, expires_at = lot_times(versioned.rules, now, approved=True)
            transaction = ledger.accrue(member, points, origin, now=now, available_at=now, expires_at=expires_at)
        elif -points > member.available:
            raise PreconditionFailed(f"Only {max(0, member.available)} points are available.")
        else:
            await book.load_lots(connection, [(merchant_id, customer_id)])
            transaction = ledger.deduct(member, -points, origin, now=now)
        book.transactions.append(transaction)
        await book.store(connection)
        audit = AuditLog(
            actor=context.actor,
            role=context.role,
            action="points.adjusted",
            subject=f"customer:{customer_id}",
            before={"available": str(before)},
            after={"available": str(member.available), "reason": origin.note},
            at=now,
        )
        events = [audit.event(merchant_id, str(customer_id))]
        if points > 0:
            earned = PointsEarned(
                customer_id=customer_id,
                points=points,
                reason="adjustment",
                transaction_id=transaction.transaction_id,
                available_at=now,
            )
            events.append(earned.event(merchant_id, str(customer_id)))
        return events

    async def totals(self, merchant_id: str) -> Totals:
        """Sums over all customers."""
        async with self._database.request(merchant_id) as connection:
            return await balance_repository.totals(connection, merchant_id)

    async def verify(self, merchant_id: str) -> tuple[int, int, list[tuple[str, str, str]]]:
        """Prove the ledger of a merchant: see `verification_repository.verify`."""
        async with self._database.request(merchant_id, snapshot=True) as connection:
            return await verification_repository.verify(connection, merchant_id)
