"""What the demo shows at its end: the shop, and what each service did, by the services' own figures."""

import json
from collections import Counter
from pathlib import Path
from typing import Final

import httpx
from rich.table import Table

from loyalnest.admin_core import admin_core_pb2
from loyalnest.admin_core.admin_core_pb2_grpc import AdminCoreServiceStub
from loyalnest.admin_features import admin_features_pb2
from loyalnest.admin_features.admin_features_pb2_grpc import AdminFeaturesServiceStub
from loyalnest.auth import auth_pb2
from loyalnest.auth.auth_pb2_grpc import AuthServiceStub
from loyalnest.campaign import campaign_pb2
from loyalnest.campaign.campaign_pb2_grpc import CampaignServiceStub
from loyalnest.cli.admin import merchants_of
from loyalnest.cli.console import out
from loyalnest.cli.demo import DEMO_MERCHANT
from loyalnest.core import core_pb2
from loyalnest.core.core_pb2_grpc import CoreServiceStub
from loyalnest.event_tracking import event_tracking_pb2
from loyalnest.event_tracking.event_tracking_pb2_grpc import EventTrackingServiceStub
from loyalnest.gamification import gamification_pb2
from loyalnest.gamification.gamification_pb2_grpc import GamificationServiceStub
from loyalnest.kit.context import as_merchant
from loyalnest.kit.runtime import Runtime
from loyalnest.points import points_pb2
from loyalnest.points.points_pb2_grpc import PointsServiceStub
from loyalnest.products import products_pb2
from loyalnest.products.products_pb2_grpc import ProductsServiceStub
from loyalnest.referrals import referrals_pb2
from loyalnest.referrals.referrals_pb2_grpc import ReferralsServiceStub
from loyalnest.rfm import rfm_pb2
from loyalnest.rfm.rfm_pb2_grpc import RfmServiceStub

SHOWN_CUSTOMERS: Final = (7_000_000_000_004, 7_000_000_000_021, 7_000_000_000_111)


async def show(process: Runtime, data: Path, address: str) -> None:
    """Print the shop's figures, its segments, and a line for each service."""
    with as_merchant(DEMO_MERCHANT):
        points = PointsServiceStub(process.channel("points"))
        totals = await points.GetProgramTotals(points_pb2.GetProgramTotalsRequest())
        counts = await RfmServiceStub(process.channel("rfm")).GetSegmentCounts(rfm_pb2.GetSegmentCountsRequest())
        balances = [
            await points.GetPointsBalance(points_pb2.GetPointsBalanceRequest(customer_id=customer))
            for customer in SHOWN_CUSTOMERS
        ]
        done = {
            "admin_core": await _admin_core(process),
            "admin_features": await _admin_features(process),
            "api_gateway": f"{_delivered(data):,} signed deliveries acknowledged",
            "auth": await _auth(process),
            "campaign": await _campaign(process),
            "core": await _core(process),
            "event_tracking": await _event_tracking(process),
            "frontend": await _frontend(address),
            "gamification": await _gamification(process),
            "points": f"{totals.lifetime_earned:,} points issued, {totals.lifetime_redeemed:,} redeemed",
            "products": await _products(process),
            "referrals": await _referrals(process),
            "rfm": f"{counts.customers:,} customers scored into {sum(each.customers > 0 for each in counts.segments)} "
            "segments",
        }
    out.print()
    out.print(
        f"[bold]{DEMO_MERCHANT}[/]: {totals.members:,} customers, {totals.orders:,} orders, "
        f"{totals.lifetime_earned:,} points issued, {totals.available:,} available"
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("SEGMENT")
    table.add_column("CUSTOMERS", justify="right")
    table.add_column("REVENUE", justify="right")
    for each in counts.segments:
        table.add_row(each.segment, f"{each.customers:,}", each.revenue)
    out.print(table)
    for balance in balances:
        out.print(f"customer {balance.customer_id}: {balance.available:,} points")
    out.print()
    out.print(f"[bold]{'SERVICE':<16}WHAT IT DID[/]")
    for name, text in done.items():
        out.print(f"{name:<16}{text}", markup=False)
    out.print(f"What customers were written lies in {data / 'messages'}.")


def _listed(counts: "Counter[str]") -> str:
    return ", ".join(f"{number:,} {name}" for name, number in sorted(counts.items())) or "none"


def _delivered(data: Path) -> int:
    """How many deliveries are behind the marks of the demo's replays."""
    return sum(json.loads(mark.read_text())["position"] for mark in data.glob(f"*.{DEMO_MERCHANT}.replay"))


async def _admin_core(process: Runtime) -> str:
    admin_core = AdminCoreServiceStub(process.channel("admin_core"))
    log = await admin_core.VerifyAuditLog(admin_core_pb2.VerifyAuditLogRequest(), timeout=60)
    found = await admin_core.ListGdprRequests(admin_core_pb2.ListGdprRequestsRequest())
    requests = Counter(each.status for each in found.requests)
    return f"{log.entries:,} audit entries, {len(log.problems)} broken; data requests: {_listed(requests)}"


async def _admin_features(process: Runtime) -> str:
    features = AdminFeaturesServiceStub(process.channel("admin_features"))
    found: Counter[str] = Counter()
    for status in ("pending", "queued", "sent", "failed", "bounced", "complained"):  # suppressed ones are of history
        token = ""
        while True:
            request = admin_features_pb2.ListMessagesRequest(status=status, page_size=200, page_token=token)
            page = await features.ListMessages(request)
            found[status] += len(page.messages)
            if not (token := page.next_page_token):
                break
    return f"messages: {_listed(+found)}"


async def _auth(process: Runtime) -> str:
    keys = await AuthServiceStub(process.channel("auth")).GetDataKeys(auth_pb2.GetDataKeysRequest())
    return f"{len(await merchants_of(process, None))} shops let in, {len(keys.keys)} keys of {DEMO_MERCHANT} kept"


async def _campaign(process: Runtime) -> str:
    campaign = CampaignServiceStub(process.channel("campaign"))
    tiers = await campaign.ListTiers(campaign_pb2.ListTiersRequest())
    found = await campaign.ListCampaigns(campaign_pb2.ListCampaignsRequest())
    members = Counter({each.name: each.members for each in tiers.tiers})
    bonuses = [f"{each.plan.name} gave {each.spent_points:,} points" for each in found.campaigns]
    return "; ".join([_listed(members), *bonuses])


async def _core(process: Runtime) -> str:
    core = CoreServiceStub(process.channel("core"))
    counts = await core.GetCustomerCounts(core_pb2.GetCustomerCountsRequest())
    return f"{counts.customers:,} customers, {counts.accepting_marketing:,} accept marketing"


async def _event_tracking(process: Runtime) -> str:
    tracking = EventTrackingServiceStub(process.channel("event_tracking"))
    stats = await tracking.GetQueueStats(event_tracking_pb2.GetQueueStatsRequest())
    counts: Counter[str] = Counter()
    for each in stats.counts:
        counts[f"{each.kind} {each.status}"] += each.tasks
    return f"tasks: {_listed(counts)}"


async def _frontend(address: str) -> str:
    async with httpx.AsyncClient(timeout=10.0) as client:
        answer = await client.get(f"{address}/")
    return f"serves the start page at {address}/ ({answer.status_code}, {len(answer.content):,} bytes)"


async def _gamification(process: Runtime) -> str:
    gamification = GamificationServiceStub(process.channel("gamification"))
    badges = await gamification.ListBadges(gamification_pb2.ListBadgesRequest())
    board = await gamification.GetLeaderboard(gamification_pb2.GetLeaderboardRequest(period="all"))
    held = sum(each.holders for each in badges.badges)
    leader = f", led by {board.standings[0].name}" if board.standings else ""
    return f"{held:,} badges of {len(badges.badges)} kinds held; {len(board.standings)} in the leaderboard{leader}"


async def _products(process: Runtime) -> str:
    products = ProductsServiceStub(process.channel("products"))
    everything = await products.GetFacets(products_pb2.SearchProductsRequest())
    found = await products.GetFacets(products_pb2.SearchProductsRequest(query="lp"))
    return f"{everything.total:,} products to search; “lp” finds {found.total:,}"


async def _referrals(process: Runtime) -> str:
    referrals = ReferralsServiceStub(process.channel("referrals"))
    stats = await referrals.GetReferralStats(referrals_pb2.GetReferralStatsRequest())
    used = Counter({each.status: each.referrals for each in stats.statuses})
    clicks, shares = (sum(getattr(each, name) for each in stats.channels) for name in ("clicks", "shares"))
    return f"{clicks:,} clicks, {shares:,} invitations, referrals: {_listed(+used)}"
