"""What the routes take and give."""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field

from loyalnest.campaign import campaign_pb2 as pb
from loyalnest.campaign.plans import MAX_BUDGET, MAX_NAME, MAX_PRODUCTS
from loyalnest.kit.http.fields import CustomerId, ShortText

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME, pattern=r"^[^\x00-\x1f\x7f]+$")]


class CustomerTierView(BaseModel):
    """A customer's VIP tier. Days are of the merchant's calendar."""

    customer_id: str
    tier: str
    level: int = Field(description="0 for the first tier.")
    multiplier: str = Field(description="What orders' points are multiplied by.")
    points: int = Field(description="Points that count today.")
    reached_on: str = Field(description="Empty for the first tier.")
    kept_through: str = Field(description="Its last day unless it is renewed; empty for a tier without an end.")
    next_tier: str = Field(description="Empty in the highest tier.")
    next_threshold: int
    points_to_next: int
    changed_at: str = Field(description="Empty for a customer who is not known yet.")


class TierSummary(BaseModel):
    level: int
    name: str
    threshold: int
    multiplier: str
    members: int


class TiersView(BaseModel):
    tiers: list[TierSummary]
    qualification_months: int = Field(description="Months in which points count; 0 for a lifetime.")
    evaluated: bool = Field(description="False while members are still being evaluated by changed rules.")


class TierMemberView(BaseModel):
    customer_id: str
    reached_on: str
    kept_through: str
    changed_at: str


class TierMembersView(BaseModel):
    members: list[TierMemberView]
    next_page_token: str


class TierChangeView(BaseModel):
    previous_tier: str = Field(description="Empty for the customer's first.")
    tier: str
    multiplier: str
    cause: str = Field(description="joined, earned, refunded, ended (of a term) or rules")
    changed_at: str


class TierHistoryView(BaseModel):
    changes: list[TierChangeView]
    next_page_token: str


class PlanBody(BaseModel):
    """A bonus campaign, as it is to be. Once it has started, only name, ends_at and budget_points may change."""

    name: Name
    multiplier: ShortText = Field(
        description="What points are multiplied by: more than 1, at most 100.", examples=["2"]
    )
    starts_at: AwareDatetime = Field(description="Orders count that are placed from then on.")
    ends_at: AwareDatetime = Field(description="Orders count that are placed before.")
    product_ids: list[CustomerId] = Field(
        default=[], max_length=MAX_PRODUCTS, description="Only lines of these get the bonus; empty for all."
    )
    segments: list[ShortText] = Field(default=[], max_length=20, description="RFM segments; empty for all customers.")
    tiers: list[ShortText] = Field(default=[], max_length=20, description="Names of tiers; empty for all customers.")
    budget_points: int | None = Field(
        default=None, ge=1, le=MAX_BUDGET, description="Most points that it may give in all; null for no limit."
    )

    def message(self) -> pb.Plan:
        return pb.Plan(
            name=self.name,
            multiplier=self.multiplier,
            starts_at=self.starts_at.isoformat(),
            ends_at=self.ends_at.isoformat(),
            product_ids=map(int, self.product_ids),
            segments=self.segments,
            tiers=self.tiers,
            budget_points=self.budget_points or 0,
        )


class CampaignChange(PlanBody):
    version: int = Field(ge=1, le=2**31 - 1, description="The version that the change was made from.")


class CampaignView(BaseModel):
    campaign_id: str
    version: int
    state: str = Field(description="planned, running, over or ended")
    name: str
    multiplier: str
    starts_at: str
    ends_at: str
    product_ids: list[str]
    segments: list[str]
    tiers: list[str]
    budget_points: int | None
    spent_points: int | None = Field(
        description="What it has given, less what refunds took back; null while that cannot be told."
    )
    created_at: str
    changed_at: str


class CampaignsView(BaseModel):
    campaigns: list[CampaignView]
    next_page_token: str


def campaign_view(found: pb.Campaign) -> CampaignView:
    plan = found.plan
    return CampaignView(
        campaign_id=found.campaign_id,
        version=found.version,
        state=found.state,
        name=plan.name,
        multiplier=plan.multiplier,
        starts_at=plan.starts_at,
        ends_at=plan.ends_at,
        product_ids=[str(each) for each in plan.product_ids],
        segments=list(plan.segments),
        tiers=list(plan.tiers),
        budget_points=plan.budget_points or None,
        spent_points=found.spent_points if found.HasField("spent_points") else None,
        created_at=found.created_at,
        changed_at=found.changed_at,
    )
