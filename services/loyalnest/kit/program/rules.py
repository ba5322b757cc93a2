"""The rules of a program: what merchants may change in the dashboard, and what services decide by.

Currency amounts are in the program's currency, in its major unit ("5.00" is five dollars); points are whole.
"""

import hashlib
import json
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar, Self

from pydantic import Field, Strict, model_validator

from loyalnest.kit.program.cel import Rule, unique
from loyalnest.kit.program.fields import (
    Exact,
    Flag,
    Label,
    Model,
    Pattern,
    Points,
    PointsOrNone,
    Title,
    Whole,
    refuse,
    repeated,
    wrong,
)
from loyalnest.kit.program.problems import validate
from loyalnest.kit.program.reading import parse_json
from loyalnest.kit.program.schedules import Cron, Timezone


class Trigger(StrEnum):
    """What makes a rule give points: a paid order, or a new customer."""

    ORDER = "order"
    CUSTOMER = "customer"


class Debt(StrEnum):
    """What happens when a refund takes back more points than the customer still has.

    Carry: the rest is a debt that later earning pays. Floor: the balance stops at zero and the rest is forgiven.
    """

    CARRY = "Carry"
    FLOOR = "Floor"


class EarningRule(Model):
    """One way to earn. An order rule has exactly one of pointsPerUnit and points; a customer rule has points."""

    name: Label = Field(description="Name of the rule, unique in the program; it is stored with every award.")
    trigger: Trigger = Field(
        description="What gives points: order (an order is paid) or customer (a customer account is made)."
    )
    points_per_unit: Annotated[Decimal, Exact(most=1_000_000, places=6)] | None = Field(
        default=None,
        description="Points for one unit of currency of an order's merchandise after discounts. For order rules."
        ' Write a fraction in quotes: "1.5".',
    )
    points: Points | None = Field(
        default=None, description="Points for one order, or for joining. An order rule has this or pointsPerUnit."
    )

    api_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.trigger != 'customer' || !has(self.pointsPerUnit)",
            "is for order rules only; a customer rule has points",
            ".pointsPerUnit",
        ),
        Rule("self.trigger != 'customer' || has(self.points)", "is required in a customer rule", ".points"),
        Rule(
            "self.trigger != 'order' || !has(self.points) || !has(self.pointsPerUnit)",
            "an order rule has pointsPerUnit or points, not both; remove one",
            ".points",
        ),
        Rule(
            "self.trigger != 'order' || has(self.points) || has(self.pointsPerUnit)",
            "an order rule needs pointsPerUnit or points",
            ".pointsPerUnit",
        ),
    )

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        rate, fixed = self.points_per_unit is not None, self.points is not None
        problems: list[tuple[tuple[int | str, ...], str]] = []
        if self.trigger is Trigger.CUSTOMER:
            if rate:
                problems.append((("pointsPerUnit",), "is for order rules only; a customer rule has points"))
            if not fixed:
                problems.append((("points",), "is required in a customer rule"))
        elif rate and fixed:
            problems.append((("points",), "an order rule has pointsPerUnit or points, not both; remove one"))
        elif not (rate or fixed):
            problems.append((("pointsPerUnit",), "an order rule needs pointsPerUnit or points"))
        refuse("EarningRule", problems)
        return self


class Earning(Model):
    """How customers earn.

    At most one rule per trigger: with two order rules it would be open which of them an award, its tier multiplier
    and its clawback belong to. What is to give more for a while, or for some customers or products, is a campaign.
    """

    approval_days: Whole = Field(
        default=0, ge=0, le=365, description="Days that points of an order stay pending before they can be spent."
    )
    expiry_days: Whole | None = Field(
        default=None,
        ge=1,
        le=3650,
        description="Days after which points that were not spent expire. Absent: they never expire.",
    )
    include_test_orders: Flag = Field(default=False, description="Whether Shopify's test orders earn points.")
    debt: Debt = Field(
        default=Debt.CARRY,
        description="When a refund takes back more than the customer has: Carry keeps the rest as a debt that later"
        " earning pays, Floor stops at zero.",
    )
    rules: tuple[EarningRule, ...] = Field(
        min_length=1, max_length=20, description="Ways to earn, at most one for each trigger."
    )

    @property
    def order_rule(self) -> EarningRule | None:
        """The rule for paid orders, if there is one."""
        return self._rule_for(Trigger.ORDER)

    @property
    def customer_rule(self) -> EarningRule | None:
        """The rule for new customers, if there is one."""
        return self._rule_for(Trigger.CUSTOMER)

    def _rule_for(self, trigger: Trigger) -> EarningRule | None:
        return next((rule for rule in self.rules if rule.trigger is trigger), None)

    api_rules: ClassVar[tuple[Rule, ...]] = (
        unique("rules", "item.name", "names must be unique, and two rules have the same"),
        unique("rules", "item.trigger", "only one rule may have each trigger, and two have the same"),
    )

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        problems = repeated("rules", [rule.name for rule in self.rules])
        first: dict[Trigger, int] = {}
        for index, rule in enumerate(self.rules):
            if rule.trigger in first:
                words = (
                    f"only one rule may have the trigger {rule.trigger.value}, and rules[{first[rule.trigger]}] has it"
                )
                problems.append((("rules", index, "trigger"), words))
            first.setdefault(rule.trigger, index)
        refuse("Earning", problems)
        return self


class Discount(Model):
    """What a reward takes off an order: exactly one of amount and percentage."""

    amount: Annotated[Decimal, Exact(most=1_000_000_000, places=3)] | None = Field(
        default=None, description='Amount off an order in the program\'s currency, in quotes: "5.00".'
    )
    percentage: Whole | None = Field(default=None, ge=1, le=100, description="Percentage off an order, 1 to 100.")

    api_rules: ClassVar[tuple[Rule, ...]] = (
        Rule("has(self.amount) != has(self.percentage)", "a discount has exactly one of amount and percentage"),
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.amount is None) == (self.percentage is None):
            raise wrong("a discount has exactly one of amount and percentage")
        return self


class Reward(Model):
    """Something that points buy."""

    name: Label = Field(description="Name of the reward, unique in the program.")
    points: Points = Field(description="Points that it costs.")
    discount: Discount = Field(description="The discount code that the customer gets: an amount or a percentage.")


class Redemption(Model):
    """How customers spend points."""

    rewards: tuple[Reward, ...] = Field(default=(), max_length=50, description="What customers may take for points.")

    api_rules: ClassVar[tuple[Rule, ...]] = (
        unique("rewards", "item.name", "names must be unique, and two rewards have the same"),
    )

    @model_validator(mode="after")
    def _unique(self) -> Self:
        refuse("Redemption", repeated("rewards", [reward.name for reward in self.rewards]))
        return self


class Referrals(Model):
    """What bringing a friend is worth."""

    referrer_points: PointsOrNone = Field(default=0, description="Points for the customer who referred.")
    friend_points: PointsOrNone = Field(default=0, description="Points for the friend who bought.")
    minimum_spend: Annotated[Decimal, Exact(most=1_000_000_000, places=3, zero=True)] = Field(
        default=Decimal(0),
        description='Merchandise after discounts that the friend\'s first order must reach, in quotes: "20.00".',
    )


class VipTier(Model):
    """A level that customers reach by the points they earned: in their lifetime, or within `TierQualification`."""

    name: Title = Field(description="Name that customers see, unique in the program whatever its case.")
    threshold: PointsOrNone = Field(
        description="Points, of a lifetime or within tierQualification, at which the tier begins; the first has 0."
    )
    multiplier: Annotated[Decimal, Exact(most=100, places=4)] = Field(
        default=Decimal(1), description='What an order\'s points are multiplied by in this tier, in quotes: "1.25".'
    )


class TierQualification(Model):
    """How long points count for VIP tiers, and for how long a tier that was reached is kept."""

    months: Whole = Field(
        ge=1,
        le=60,
        description="Months that earned points count for, and that a tier is kept after it was reached or last"
        " qualified for. Then the points of these months decide.",
    )


class Rfm(Model):
    """When customers' recency, frequency and monetary scores are computed anew."""

    schedule: Cron = Field(
        default="0 1 * * *",
        description="Cron schedule of the refresh, in the program's time zone: minute, hour, day, month, weekday.",
    )
    timezone: Timezone = Field(
        default="UTC", description="Time zone of the merchant, as in the tz database: Europe/Berlin."
    )


class RuleFields(Model):
    """The fields that a program's spec and its rules have in common."""

    currency: Annotated[
        str, Strict(), Pattern(r"^[A-Z]{3}$", "an ISO 4217 code of three capital letters, such as USD", 3)
    ] = Field(default="USD", description="The shop's currency, an ISO 4217 code such as USD.")
    earning: Earning = Field(description="How customers earn points.")
    redemption: Redemption = Field(default=Redemption(), description="How customers spend points.")
    referrals: Referrals | None = Field(default=None, description="What referrals give. Absent: there are none.")
    tiers: tuple[VipTier, ...] = Field(
        default=(), max_length=20, description="VIP tiers, by ascending threshold; the first begins at 0."
    )
    tier_qualification: TierQualification | None = Field(
        default=None, description="Window in which points count for tiers. Absent: all of a lifetime count, for ever."
    )
    rfm: Rfm = Field(default=Rfm(), description="When RFM scores are refreshed.")

    api_rules: ClassVar[tuple[Rule, ...]] = (
        unique("tiers", "item.name.lowerAscii()", "names must be unique whatever their case, and two are the same"),
        Rule(
            "self.tiers.size() == 0 || self.tiers[0].threshold == 0", "the first tier's threshold must be 0", ".tiers"
        ),
        Rule("self.tiers.map(tier, tier.threshold).isSorted()", "must be in ascending order of threshold", ".tiers"),
        unique("tiers", "item.threshold", "each tier's threshold must be more than the one before, and two are equal"),
        Rule(
            "!has(self.tierQualification) || self.tiers.size() > 0",
            "needs tiers that customers can qualify for; write tiers, or take it out",
            ".tierQualification",
        ),
    )

    @model_validator(mode="after")
    def _ladder(self) -> Self:
        problems = repeated("tiers", [tier.name.casefold() for tier in self.tiers])
        if self.tiers and self.tiers[0].threshold != 0:
            problems.append((("tiers", 0, "threshold"), f"the first tier begins at 0, found {self.tiers[0].threshold}"))
        for index in range(1, len(self.tiers)):
            below, here = self.tiers[index - 1].threshold, self.tiers[index].threshold
            if here <= below:
                words = f"must be more than {below}, the threshold of the tier before it, found {here}"
                problems.append((("tiers", index, "threshold"), words))
        if self.tier_qualification is not None and not self.tiers:
            words = "needs tiers that customers can qualify for; write tiers, or take it out"
            problems.append((("tierQualification",), words))
        refuse("Rules", problems)
        return self


class ProgramRules(RuleFields):
    """The part of a program that is rules. `core.program_settings` stores it as the canonical JSON of `to_json`."""

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces, decimals as shortest text, every default written, absent left out.

        Equal rules have equal text. Defaults are written so that a later default changes no merchant's rules.
        """
        value = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The rules that `text` says. Raises InvalidInput with every wrong place and its reason."""
        return validate(cls, parse_json(text))

    @property
    def rules_hash(self) -> str:
        """SHA-256 of the canonical JSON in hex: equal for equal rules."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()
