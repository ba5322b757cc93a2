"""Between messages and what they stand for."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from uuid import UUID

from loyalnest.campaign import campaign_pb2 as pb
from loyalnest.campaign.models import Campaign, Member, Plan, TierChange
from loyalnest.campaign.service import TierView
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.rpc.fields import decimal_text, time_text


def plan_of(message: pb.Plan) -> Plan:
    """What a message says of a campaign. Raises InvalidInput for what is no number or time."""
    return Plan(
        name=message.name,
        multiplier=_multiplier(message.multiplier),
        starts_at=_time("starts_at", message.starts_at),
        ends_at=_time("ends_at", message.ends_at),
        product_ids=tuple(message.product_ids),
        segments=tuple(message.segments),
        tiers=tuple(message.tiers),
        budget_points=message.budget_points or None,
    )


def campaign_message(campaign: Campaign, state: str, spent: Mapping[UUID, int] | None) -> pb.Campaign:
    """A campaign, with what it has spent if that is known."""
    plan = campaign.plan
    message = pb.Campaign(
        campaign_id=str(campaign.campaign_id),
        version=campaign.version,
        plan=pb.Plan(
            name=plan.name,
            multiplier=decimal_text(plan.multiplier),
            starts_at=time_text(plan.starts_at),
            ends_at=time_text(plan.ends_at),
            product_ids=plan.product_ids,
            segments=plan.segments,
            tiers=plan.tiers,
            budget_points=plan.budget_points or 0,
        ),
        state=state,
        created_at=time_text(campaign.created_at),
        changed_at=time_text(campaign.changed_at),
    )
    if spent is not None:
        message.spent_points = spent.get(campaign.campaign_id, 0)
    return message


def tier_message(view: TierView) -> pb.VIPTier:
    """A customer's tier."""
    member, above = view.member, view.next_tier
    return pb.VIPTier(
        customer_id=member.customer_id,
        tier=member.tier,
        level=view.level,
        multiplier=decimal_text(member.multiplier),
        points=view.points,
        reached_on=_day(member.reached_on),
        kept_through=_day(member.kept_through),
        next_tier=above.name if above else "",
        next_threshold=above.threshold if above else 0,
        points_to_next=max(0, above.threshold - view.points) if above else 0,
        changed_at=time_text(member.changed_at),
    )


def member_message(member: Member) -> pb.TierMember:
    """A member of a tier."""
    return pb.TierMember(
        customer_id=member.customer_id,
        reached_on=_day(member.reached_on),
        kept_through=_day(member.kept_through),
        changed_at=time_text(member.changed_at),
    )


def change_message(change: TierChange) -> pb.TierChange:
    """A line of a customer's history."""
    return pb.TierChange(
        previous_tier=change.previous_tier,
        tier=change.tier,
        multiplier=decimal_text(change.multiplier),
        cause=change.cause,
        changed_at=time_text(change.changed_at),
    )


def _multiplier(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or len(text) > 30:
        raise InvalidInput(f'multiplier: must be a decimal number such as "2" or "1.5", found {text[:60]!r}.')
    return number


def _time(name: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidInput(f"{name}: must be a time with its zone, such as 2026-11-27T00:00:00+01:00, found {text[:60]!r}.")


def _day(day: date | None) -> str:
    return "" if day is None else day.isoformat()
