"""The demo of `loyalnest up`: a shop in which every service has something to do.

Real purchases of the nineties come first, then a few of these days, with the products, for what only recent facts do:
messages, bonuses, referrals. Both are sent as signed deliveries. What an admin and shoppers do besides is asked of the
services as themselves. Whatever is interrupted goes on at the next start, and nothing is done twice.
"""

import asyncio
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import loyalnest
from loyalnest.admin_core import admin_core_pb2
from loyalnest.admin_core.admin_core_pb2_grpc import AdminCoreServiceStub
from loyalnest.admin_features import admin_features_pb2
from loyalnest.admin_features.admin_features_pb2_grpc import AdminFeaturesServiceStub
from loyalnest.campaign import campaign_pb2
from loyalnest.campaign.campaign_pb2_grpc import CampaignServiceStub
from loyalnest.cli.console import err, out
from loyalnest.event_tracking import event_tracking_pb2
from loyalnest.event_tracking.event_tracking_pb2_grpc import EventTrackingServiceStub
from loyalnest.gamification import gamification_pb2
from loyalnest.gamification.gamification_pb2_grpc import GamificationServiceStub
from loyalnest.kit.context import as_merchant
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.runtime import Runtime
from loyalnest.points import points_pb2
from loyalnest.points.points_pb2_grpc import PointsServiceStub
from loyalnest.referrals import referrals_pb2
from loyalnest.referrals.referrals_pb2_grpc import ReferralsServiceStub
from loyalnest.rfm import rfm_pb2
from loyalnest.rfm.rfm_pb2_grpc import RfmServiceStub

DEMO_MERCHANT: Final = "acme"
HISTORY: Final = "cdnow_sample.txt"
RECENT: Final = "recent.jsonl"
"""Deliveries of these days, as `loyalnest replay` reads them, but for `{3 hours ago}` and `{code}`, Owen's code."""

NORA, TARIQ, OWEN = 7_000_000_900_001, 7_000_000_900_002, 7_000_000_900_004
VINYL: Final = range(9_100_000_000_001, 9_100_000_000_005)
CAMPAIGN: Final = "Vinyl fortnight"
MESSAGE_SECONDS: Final = 180.0
"""How long the summary waits for messages and the data request, which go on without it.

Longer than the lease of a task whose process was killed.
"""

_AGO = re.compile(r"\{(\d+) (minutes|hours|days) ago\}")


def demo_folder() -> Path:
    """The demo's documents: inside an installed package, or the repository's own."""
    package = Path(loyalnest.__file__).parent
    for folder in (package / "demo", package.parent.parent / "clusters" / "demo"):
        if folder.is_dir():
            return folder
    raise InvalidInput("The demo is not part of this installation: give --programs, or --no-demo.")


async def play(process: Runtime, data: Path, address: str, stopping: asyncio.Event) -> bool:
    """Send the demo's deliveries and do what people do, from where an earlier start left off.

    Returns whether it came to its end: False where Ctrl-C stopped it.
    """
    if not await _replay(demo_folder() / HISTORY, data, address, stopping):
        return False
    await settle(process)
    await _prepare(process)
    await settle(process)  # the campaign must be known before the orders that it is for
    recent = data / RECENT
    if not recent.exists():
        _write_recent(recent, await _code_of_owen(process))
    if not await _replay(recent, data, address, stopping):
        return False
    await settle(process)
    with as_merchant(DEMO_MERCHANT):  # as the night after would: years of orders came within a minute
        rfm = RfmServiceStub(process.channel("rfm"))
        await rfm.RefreshSegments(rfm_pb2.RefreshSegmentsRequest(), timeout=60)
    await _act(process)
    await settle(process)
    await _until_told(process)
    return True


async def settle(process: Runtime) -> None:
    """Return once nothing is on its way between the services."""
    while not await process.settled():  # noqa: ASYNC110 - the end of a chain of services is nobody's event
        await asyncio.sleep(0.2)


def filled(text: str, code: str, now: datetime) -> str:
    """`text` with the moments that it names by how long before `now` they are, and a referral code."""

    def moment(found: re.Match[str]) -> str:
        return (now - timedelta(**{found[2]: int(found[1])})).isoformat(timespec="seconds")

    return _AGO.sub(moment, text).replace("{code}", code)


def _write_recent(file: Path, code: str) -> None:
    """Write the recent deliveries once, so that a later start tells of the same moments."""
    part = file.with_suffix(".part")
    text = (demo_folder() / RECENT).read_text(encoding="utf-8")
    part.write_text(filled(text, code, datetime.now(UTC)), encoding="utf-8")
    part.replace(file)


async def _replay(file: Path, data: Path, address: str, stopping: asyncio.Event) -> bool:
    """Send a file's deliveries by `loyalnest replay`. Returns whether to go on."""
    state = data / f"{file.name}.{DEMO_MERCHANT}.replay"
    command = [sys.executable, "-m", "loyalnest", "replay", str(file), "--merchant", DEMO_MERCHANT]
    command += ["--data", str(data), "--url", address, "--state", str(state)]
    replay = await asyncio.create_subprocess_exec(*command)
    try:
        failed = await replay.wait() != 0
    except asyncio.CancelledError:
        if replay.returncode is None:
            replay.terminate()
            await replay.wait()
        raise
    if failed and not stopping.is_set():  # Ctrl-C reaches the replay too
        err.print("The demo's purchases were not all delivered; start again to go on.")
    return not stopping.is_set()


async def _prepare(process: Runtime) -> None:
    """An admin plans a campaign, if that was not done before."""
    campaigns = CampaignServiceStub(process.channel("campaign"))
    with as_merchant(DEMO_MERCHANT, actor="admin:demo", role="owner"):
        there = await campaigns.ListCampaigns(campaign_pb2.ListCampaignsRequest())
        if any(each.plan.name == CAMPAIGN for each in there.campaigns):
            return
        now = datetime.now(UTC)
        plan = campaign_pb2.Plan(
            name=CAMPAIGN,
            multiplier="2",
            starts_at=(now - timedelta(days=3)).isoformat(),
            ends_at=(now + timedelta(days=11)).isoformat(),
            product_ids=VINYL,
            budget_points=10_000,
        )
        await campaigns.CreateCampaign(
            campaign_pb2.CreateCampaignRequest(plan=plan, idempotency_key="demo-vinyl-fortnight")
        )


async def _code_of_owen(process: Runtime) -> str:
    """Owen asks for his link, and a friend opens it."""
    referrals = ReferralsServiceStub(process.channel("referrals"))
    with as_merchant(DEMO_MERCHANT, actor=f"shopper:{OWEN}", role="shopper"):
        link = await referrals.CreateReferralLink(referrals_pb2.CreateReferralLinkRequest(customer_id=OWEN))
        status = await referrals.GetReferralStatus(referrals_pb2.GetReferralStatusRequest(customer_id=OWEN))
        if not any(each.clicks for each in status.channels):
            await referrals.RecordClick(referrals_pb2.RecordClickRequest(code=link.code))
    return link.code


async def _act(process: Runtime) -> None:
    """What people do once the orders are there. Each call is one that can be repeated, or is not made again."""
    referrals = ReferralsServiceStub(process.channel("referrals"))
    points = PointsServiceStub(process.channel("points"))
    with as_merchant(DEMO_MERCHANT, actor=f"shopper:{OWEN}", role="shopper"):
        invitation = referrals_pb2.ShareReferralRequest(
            customer_id=OWEN, channel="email", address="friend.of.owen@example.com"
        )
        await referrals.ShareReferral(invitation)
    with as_merchant(DEMO_MERCHANT, actor=f"shopper:{NORA}", role="shopper"):
        await points.RedeemPoints(
            points_pb2.RedeemPointsRequest(customer_id=NORA, reward="five-off", idempotency_key="demo-five-off")
        )
    for customer_id, name in ((NORA, "Nora L."), (TARIQ, "Vinyl Fan")):
        await _join(process, customer_id, name)
    with as_merchant(DEMO_MERCHANT, actor="admin:demo", role="owner"):
        gesture = points_pb2.AdjustPointsRequest(
            customer_id=OWEN, points=50, reason="The parcel came late.", idempotency_key="demo-late-parcel"
        )
        await points.AdjustPoints(gesture)
        request = admin_core_pb2.CreateGdprRequestRequest(
            kind="customer_data", customer_id=NORA, reason="Asked for by e-mail.", idempotency_key="demo-data-of-nora"
        )
        await AdminCoreServiceStub(process.channel("admin_core")).CreateGdprRequest(request)


async def _join(process: Runtime, customer_id: int, name: str) -> None:
    gamification = GamificationServiceStub(process.channel("gamification"))
    with as_merchant(DEMO_MERCHANT, actor=f"shopper:{customer_id}", role="shopper"):
        board = await gamification.GetLeaderboard(gamification_pb2.GetLeaderboardRequest(customer_id=customer_id))
        if not board.own_name:
            request = gamification_pb2.JoinLeaderboardRequest(customer_id=customer_id, name=name)
            await gamification.JoinLeaderboard(request)


async def _until_told(process: Runtime) -> None:
    """Wait, within bounds, for what takes its time by design: messages and the data request."""
    loop = asyncio.get_running_loop()
    until = loop.time() + MESSAGE_SECONDS
    out.print("Waiting for the messages to be written …")
    while loop.time() < until:
        if not await _under_way(process):
            return
        await asyncio.sleep(0.5)


async def _under_way(process: Runtime) -> Sequence[str]:
    """What is not done yet: messages, tasks, requests."""
    with as_merchant(DEMO_MERCHANT):
        features = AdminFeaturesServiceStub(process.channel("admin_features"))
        tracking = EventTrackingServiceStub(process.channel("event_tracking"))
        admin_core = AdminCoreServiceStub(process.channel("admin_core"))
        waiting = [
            each.message_id
            for status in ("pending", "queued")
            for each in (
                await features.ListMessages(admin_features_pb2.ListMessagesRequest(status=status, page_size=1))
            ).messages
        ]
        stats = await tracking.GetQueueStats(event_tracking_pb2.GetQueueStatsRequest())
        waiting += [each.status for each in stats.counts if each.status in {"waiting", "running"}]
        requests = await admin_core.ListGdprRequests(admin_core_pb2.ListGdprRequestsRequest(status="open"))
        return waiting + [each.request_id for each in requests.requests]
