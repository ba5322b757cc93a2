"""What a badge must be, and those that a new merchant begins with. No I/O."""

import re
import unicodedata
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from typing import Final

from loyalnest.gamification.models import IN_MONEY, Badge, Kind, Rule
from loyalnest.kit.errors import InvalidInput

MAX_BADGES: Final = 100
MAX_TITLE: Final = 60
MAX_DESCRIPTION: Final = 300
MAX_PRODUCTS: Final = 200
MAX_TARGET: Final = Decimal(10**9)
MAX_WEEKS: Final = Decimal(520)
_MAX_ID: Final = 2**63 - 1

_KEY = re.compile(r"[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?")
_ICON = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_DECIMAL = re.compile(r"[0-9]{1,10}(\.[0-9]{1,2})?")


@dataclass(frozen=True, slots=True)
class Draft:
    """A badge as somebody wrote it down. `target` is a decimal number as text."""

    key: str
    title: str
    description: str
    icon: str
    kind: str
    target: str
    product_type: str = ""
    product_ids: tuple[int, ...] = ()
    enabled: bool = True
    take_back_on_refund: bool = True


def checked(draft: Draft) -> Badge:
    """The badge that is meant. Raises InvalidInput with everything that is wrong."""
    problems: list[str] = []
    if not _KEY.fullmatch(draft.key):
        problems.append("key must be 1 to 50 small letters, digits and hyphens, such as first-order")
    if not _ICON.fullmatch(draft.icon):
        problems.append("icon must be the name of an icon: 1 to 40 small letters, digits and hyphens, such as star")
    for name, text, least, most in (
        ("title", draft.title, 1, MAX_TITLE),
        ("description", draft.description, 0, MAX_DESCRIPTION),
        ("product_type", draft.product_type, 0, 255),
    ):
        if not least <= len(text.strip()) <= most or not is_one_line(text):
            problems.append(f"{name} must be one line of {least} to {most} characters")
    if draft.kind not in list(Kind):
        problems.append(f"kind must be one of {', '.join(Kind)}")
    else:
        problems += _wrong_with_rule(Kind(draft.kind), draft)
    if problems:
        raise InvalidInput("; ".join(problems) + ".")
    rule = Rule(
        Kind(draft.kind), Decimal(draft.target), draft.product_type.strip(), tuple(sorted(set(draft.product_ids)))
    )
    return Badge(
        key=draft.key,
        title=draft.title.strip(),
        description=draft.description.strip(),
        icon=draft.icon,
        rule=rule,
        enabled=draft.enabled,
        take_back_on_refund=draft.take_back_on_refund,
    )


def is_one_line(text: str) -> bool:
    """Whether there are neither control characters nor halves of surrogate pairs in `text`."""
    return not any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in text)


def _wrong_with_rule(kind: Kind, draft: Draft) -> list[str]:
    problems: list[str] = []
    most = MAX_WEEKS if kind is Kind.WEEKLY_STREAK else MAX_TARGET
    try:
        target = Decimal(draft.target) if _DECIMAL.fullmatch(draft.target) else Decimal(0)
    except InvalidOperation:
        target = Decimal(0)
    if not 0 < target <= most:
        problems.append(f"target must be a number above 0 and at most {most}, with at most two decimal places")
    elif kind not in IN_MONEY and target != int(target):
        problems.append(f"target of {kind} must be a whole number")
    if kind is not Kind.CATEGORY_SPEND:
        if draft.product_type or draft.product_ids:
            problems.append("product_type and product_ids are for category_spend only")
    elif bool(draft.product_type.strip()) == bool(draft.product_ids):
        problems.append("category_spend needs either product_type or product_ids")
    if len(draft.product_ids) > MAX_PRODUCTS or not all(0 < each <= _MAX_ID for each in draft.product_ids):
        problems.append(f"product_ids must be at most {MAX_PRODUCTS} of Shopify's product ids")
    return problems


def described(badge: Badge) -> dict[str, str]:
    """A badge as the audit log shows it."""
    return {
        "title": badge.title,
        "description": badge.description,
        "icon": badge.icon,
        **{name: str(value) for name, value in _rule_fields(badge.rule).items()},
        "enabled": str(badge.enabled).lower(),
        "take_back_on_refund": str(badge.take_back_on_refund).lower(),
        "version": str(badge.version),
    }


def _rule_fields(rule: Rule) -> dict[str, object]:
    values = {each.name: getattr(rule, each.name) for each in fields(rule)}
    return values | {"target": f"{rule.target:f}", "product_ids": ",".join(map(str, rule.product_ids))}


def default_badges() -> list[Badge]:
    """What a new merchant begins with; all of it may be changed or deleted. None depends on what the shop sells."""
    written = (
        ("first-order", "First order", "Your first order with us.", "shopping-bag", Kind.ORDERS, 1),
        ("five-orders", "Regular", "Five orders.", "repeat", Kind.ORDERS, 5),
        ("twenty-orders", "Devoted", "Twenty orders.", "heart", Kind.ORDERS, 20),
        ("first-referral", "Good friend", "A friend ordered upon your invitation.", "users", Kind.REFERRALS, 1),
        ("five-referrals", "Ambassador", "Five friends ordered upon your invitation.", "megaphone", Kind.REFERRALS, 5),
        ("streak-4", "On a roll", "An order in each of four weeks in a row.", "flame", Kind.WEEKLY_STREAK, 4),
        ("big-spender", "Big spender", "Spent 500 in all.", "gem", Kind.SPEND, 500),
        ("points-1000", "Collector", "1,000 points earned in a lifetime.", "trophy", Kind.LIFETIME_POINTS, 1000),
    )
    return [
        Badge(key, title, description, icon, Rule(kind, Decimal(target)))
        for key, title, description, icon, kind, target in written
    ]
