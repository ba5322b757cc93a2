"""Decides members' tiers in a transaction that is given, and tells of those that change."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from loyalnest.campaign import repository
from loyalnest.campaign.events import TierChanged
from loyalnest.campaign.models import Key, Member, TierChange
from loyalnest.campaign.tiers import Standing, TierRules, is_upgrade, standing
from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Connection
from loyalnest.kit.events import Event, new_id
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.rules_projection import RulesProjection

_INSTANT = timedelta(microseconds=1)


class Memberships:
    """The same few statements for any number of members."""

    def __init__(self, outbox: Outbox, rules: RulesProjection, clock: Clock) -> None:
        self._outbox = outbox
        self._rules = rules
        self._clock = clock

    async def evaluate(self, connection: Connection, keys: Iterable[Key], cause: str) -> int:
        """Bring members to the tiers that are theirs now; those who are new join. Returns how many changed.

        Their merchants' rules are locked (`repository.lock_merchants`). Whoever comes second to a member waits, and
        then sees what the first has noted.
        """
        ordered = sorted(set(keys))
        if not ordered:
            return 0
        members = await repository.lock_members(connection, ordered)
        loaded = await self._rules.load(connection, (merchant_id for merchant_id, _ in ordered))
        rules = {merchant_id: TierRules.of(versioned) for merchant_id, versioned in loaded.items()}
        days = await repository.earned_days(connection, ordered, rules)
        now = self._clock()
        touched: list[Member] = []
        changes: list[TierChange] = []
        events: list[Event] = []
        for member in members:
            own, before = rules[member.merchant_id], repository.member_values(member)
            found = standing(days.get((member.merchant_id, member.customer_id), ()), own, own.today(now))
            event = settle(member, found, own, now)
            if repository.member_values(member) != before:
                touched.append(member)
            if event is not None:
                changes.extend(_history(member, event, cause))
                if member.customer_id > 0:  # of pseudonyms nobody is told
                    events.append(event.event(member.merchant_id, str(member.customer_id)))
        await repository.store_members(connection, touched)
        await repository.append_changes(connection, changes)
        await self._outbox.append(connection, events)
        return len(changes)


def settle(member: Member, found: Standing, rules: TierRules, now: datetime) -> TierChanged | None:
    """Put a member where it stands. The event that tells of it, if tier or multiplier are other than before."""
    tier = rules.tiers[found.level] if found.level >= 0 else None
    was = (member.tier, member.threshold, member.multiplier)
    member.tier = tier.name if tier else ""
    member.threshold = tier.threshold if tier else 0
    member.multiplier = tier.multiplier if tier else Decimal(1)
    member.reached_on, member.kept_through = found.reached_on, found.kept_through
    member.due_at = None if found.due_on is None else rules.midnight(found.due_on)
    if (member.tier, member.multiplier) == (was[0], was[2]):
        return None
    # The latest moment counts for those who read it, so a customer's moments go up whatever the clock does.
    member.changed_at = max(now, member.changed_at + _INSTANT) if member.changed_at else now
    return TierChanged(
        customer_id=member.customer_id,
        tier=member.tier,
        multiplier=member.multiplier,
        previous_tier=was[0],
        upgrade=is_upgrade(rules, found.level, *was),
        changed_at=member.changed_at,
    )


def _history(member: Member, event: TierChanged, cause: str) -> Sequence[TierChange]:
    if event.tier == event.previous_tier:  # only what it gives has changed
        return ()
    change = TierChange(
        change_id=new_id(),
        merchant_id=member.merchant_id,
        customer_id=member.customer_id,
        previous_tier=event.previous_tier,
        tier=event.tier,
        multiplier=event.multiplier,
        cause=cause if event.previous_tier or cause == "rules" else "joined",
        changed_at=event.changed_at,
    )
    return (change,)
