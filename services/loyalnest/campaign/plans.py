"""What may be said of a bonus campaign, and what of it may still be changed, without I/O."""

from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from decimal import Decimal

from loyalnest.campaign.models import Campaign, Plan
from loyalnest.kit.errors import InvalidInput, PreconditionFailed
from loyalnest.rfm.events import SEGMENTS

MAX_NAME = 100
MAX_MULTIPLIER = Decimal(100)
MULTIPLIER_PLACES = 4
MAX_WINDOW = timedelta(days=731)
MAX_PRODUCTS = 1000
MAX_BUDGET = 10**12
MAX_ID = 2**63 - 1

FROZEN = {
    "multiplier": "the multiplier",
    "starts_at": "the start",
    "product_ids": "the products",
    "segments": "the segments",
    "tiers": "the tiers",
}
"""What stands once a campaign has started: what customers were promised, and who was."""


def checked(plan: Plan, ladder: Sequence[str]) -> Plan:
    """`plan` with names as they are written elsewhere and nothing twice. ladder: the names of the merchant's tiers.

    Raises InvalidInput with everything that is wrong.
    """
    problems = [*_wrong_with_name(plan.name), *_wrong_with_multiplier(plan.multiplier), *_wrong_with_window(plan)]
    if len(plan.product_ids) > MAX_PRODUCTS or not all(1 <= each <= MAX_ID for each in plan.product_ids):
        problems.append(f"product_ids: at most {MAX_PRODUCTS} of Shopify's numeric product ids")
    tiers, unknown_tiers = _known(plan.tiers, ladder)
    segments, unknown_segments = _known(plan.segments, SEGMENTS)
    problems += [f"tiers: there is no tier {each[:60]!r}; {_there_is(ladder, 'tier')}" for each in unknown_tiers]
    problems += [
        f"segments: there is no segment {each[:60]!r}; {_there_is(SEGMENTS, 'segment')}" for each in unknown_segments
    ]
    if plan.budget_points is not None and not 1 <= plan.budget_points <= MAX_BUDGET:
        problems.append(f"budget_points: must be from 1 to {MAX_BUDGET}, or left out for no limit")
    if problems:
        raise InvalidInput("; ".join(problems) + ".")
    products = tuple(sorted(set(plan.product_ids)))
    return replace(plan, name=plan.name.strip(), product_ids=products, segments=segments, tiers=tiers)


def changed(campaign: Campaign, plan: Plan, now: datetime) -> Plan:
    """The `plan` that a checked one may become of `campaign` at `now`.

    Before it starts, anything may change. While it runs, its name, its end and its budget may: an end that is not
    past, and a budget also below what is spent, which stops it. Raises PreconditionFailed for anything else.
    """
    state = campaign.state(now)
    if state in ("over", "ended"):
        raise PreconditionFailed("This campaign is over, and nothing of it can change; create another one.")
    if plan.ends_at <= now:
        raise PreconditionFailed("The end must be in the future; to stop the campaign now, end it.")
    if state == "running":
        frozen = [words for name, words in FROZEN.items() if getattr(plan, name) != getattr(campaign.plan, name)]
        if frozen:
            raise PreconditionFailed(
                f"This campaign has started, so {', '.join(frozen)} cannot change any more; end it and create another."
            )
    return plan


def as_text(plan: Plan) -> dict[str, str]:
    """The fields of `plan` for the audit log."""
    return {field.name: _text(getattr(plan, field.name)) for field in fields(plan)}


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, datetime):
        return value.isoformat()
    return "" if value is None else str(value)


def _wrong_with_name(name: str) -> list[str]:
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        return [f"name: 1 to {MAX_NAME} characters in one line"]
    return []


def _wrong_with_multiplier(multiplier: Decimal) -> list[str]:
    exponent = multiplier.as_tuple().exponent
    fits = isinstance(exponent, int) and -exponent <= MULTIPLIER_PLACES and 1 < multiplier <= MAX_MULTIPLIER
    words = (
        f"multiplier: must be more than 1, at most {MAX_MULTIPLIER}, with at most {MULTIPLIER_PLACES} decimal places"
    )
    return [] if fits else [words]


def _wrong_with_window(plan: Plan) -> list[str]:
    if plan.starts_at >= plan.ends_at:
        return ["ends_at: must be after starts_at"]
    if plan.ends_at - plan.starts_at > MAX_WINDOW:
        return [f"ends_at: must be at most {MAX_WINDOW.days} days after starts_at"]
    return []


def _known(names: Collection[str], known: Collection[str]) -> tuple[tuple[str, ...], list[str]]:
    """Those of `names` that are known, whatever their case, as they are known; and the others."""
    by_key = {name.casefold(): name for name in known}
    keys = {name.strip().casefold(): name for name in names}
    found = {by_key[key] for key in keys if key in by_key}
    return tuple(name for name in known if name in found), [name for key, name in keys.items() if key not in by_key]


def _there_is(names: Collection[str], what: str) -> str:
    return f"there is {', '.join(names)}" if names else f"this program has no {what}s"
