"""The merchants' rules: who owns them, their versions, and telling the services that decide by them."""

import json
from datetime import datetime

import msgspec

from loyalnest.admin_core.events import AuditLog
from loyalnest.core import settings_repository
from loyalnest.core.events import SettingsChanged
from loyalnest.core.settings_repository import Version
from loyalnest.core.values import MAX_NAME, wrong_with
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import current
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.errors import Conflict, InvalidInput, NotFound, PreconditionFailed, TooLarge
from loyalnest.kit.events import Event
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.paging import number_after, page_limit, page_of
from loyalnest.kit.program import Program, ProgramRules, RulesManagedBy

MAX_RULES_BYTES = 256 * 1024
RESOURCE = "resource"
"""Stands in `changed_by` for the LoyaltyProgram resource."""
_NEWEST = 2**31 - 1


class ProgramSettings:
    """Use cases of one merchant at a time."""

    def __init__(self, database: Database, outbox: Outbox, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock

    async def provision(self, program: Program) -> None:
        """Bring the settings in line with the resource: see `from_resource`. Several processes may do it at once."""
        while True:
            async with self._database.request(program.merchant_id) as connection:
                known = await settings_repository.current(connection, program.merchant_id)
                wanted = from_resource(known, program.spec.rules, program.spec.rules_managed_by, self._clock())
                if wanted is None or await self._publish(connection, program.merchant_id, wanted, []):
                    return

    async def current(self, merchant_id: str) -> Version:
        """The version in force. Raises NotFound for a merchant without any."""
        async with self._database.request(merchant_id) as connection:
            found = await settings_repository.current(connection, merchant_id)
        if found is None:
            raise NotFound("This merchant has no settings yet: apply its LoyaltyProgram first.")
        return found

    async def versions(self, merchant_id: str, page_size: int, page_token: str) -> tuple[list[Version], str]:
        """A page of versions, newest first, and the token of the next page (empty at the end)."""
        limit, before = page_limit(page_size), min(number_after(page_token), _NEWEST) or _NEWEST
        async with self._database.request(merchant_id) as connection:
            rows = await settings_repository.versions(connection, merchant_id, before, limit + 1)
        return page_of(rows, limit, lambda row: row.version)

    async def update(self, merchant_id: str, expected_version: int, rules_json: str, note: str) -> Version:
        """Put new rules in force. Rules that are equal to those in force make no new version.

        Raises InvalidInput with everything that is wrong with the rules, Conflict if `expected_version` is not the
        one in force, PreconditionFailed if the resource owns the rules.
        """
        if len(rules_json.encode(errors="replace")) > MAX_RULES_BYTES:
            raise TooLarge(f"Rules have at most {MAX_RULES_BYTES} bytes of JSON.")
        rules, note = ProgramRules.from_json(rules_json), _note(note)
        context = current()
        async with self._database.request(merchant_id) as connection:
            known = await settings_repository.current(connection, merchant_id)
            if known is None:
                raise NotFound("This merchant has no settings yet: apply its LoyaltyProgram first.")
            if known.managed_by is RulesManagedBy.RESOURCE:
                raise PreconditionFailed(
                    "The LoyaltyProgram resource manages the rules (rulesManagedBy: Resource): change them there."
                )
            if known.version != expected_version:
                raise _stale(expected_version, known.version)
            if known.rules_hash == rules.rules_hash:
                return known
            wanted = _next(known, rules, RulesManagedBy.DASHBOARD, context.actor, note, self._clock())
            before, after = differences(known.rules, wanted.rules)
            audit = AuditLog(
                actor=context.actor,
                role=context.role,
                action="settings.updated",
                subject="settings",
                before={"version": str(known.version), **before},
                after={"version": str(wanted.version), **after},
                at=wanted.changed_at,
            )
            if not await self._publish(connection, merchant_id, wanted, [audit.event(merchant_id, "settings")]):
                raise _stale(expected_version, wanted.version)
            return wanted

    async def _publish(self, connection: Connection, merchant_id: str, wanted: Version, more: list[Event]) -> bool:
        """Write a version and tell of it. False, and nothing told, if another took its number first."""
        if not await settings_repository.append(connection, merchant_id, wanted):
            return False
        changed = SettingsChanged(
            version=wanted.version,
            rules=msgspec.Raw(wanted.rules.encode()),
            changed_by=wanted.changed_by,
            changed_at=wanted.changed_at,
        )
        await self._outbox.append(connection, [changed.event(merchant_id, "settings"), *more])
        return True


def from_resource(
    known: Version | None, rules: ProgramRules, managed_by: RulesManagedBy, now: datetime
) -> Version | None:
    """The version that the resource asks for; None if nothing is to be done.

    Without any version its rules become version 1. While it owns the rules, each change of them is a new version.
    When the owner changes, that is a version of its own: to Resource with the resource's rules, to Dashboard with
    the rules in force, which the dashboard starts from.
    """
    if known is None:
        return _next(None, rules, managed_by, RESOURCE, "seeded from the resource", now)
    if managed_by is RulesManagedBy.RESOURCE:
        if known.managed_by is not managed_by:
            return _next(known, rules, managed_by, RESOURCE, "the resource manages the rules from now on", now)
        if known.rules_hash != rules.rules_hash:
            return _next(known, rules, managed_by, RESOURCE, "changed in the resource", now)
    elif known.managed_by is not managed_by:
        kept = ProgramRules.from_json(known.rules)
        return _next(known, kept, managed_by, RESOURCE, "the dashboard manages the rules from now on", now)
    return None


def differences(before: str, after: str) -> tuple[dict[str, str], dict[str, str]]:
    """The top-level parts of two canonical rules that differ, each as JSON."""
    old, new = json.loads(before), json.loads(after)
    names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]

    def shown(rules: dict[str, object]) -> dict[str, str]:
        return {name: json.dumps(rules[name], sort_keys=True) for name in names if name in rules}

    return shown(old), shown(new)


def _next(
    known: Version | None, rules: ProgramRules, managed_by: RulesManagedBy, changed_by: str, note: str, now: datetime
) -> Version:
    version = 1 if known is None else known.version + 1
    return Version(version, rules.to_json(), rules.rules_hash, managed_by, changed_by, now, note)


def _stale(expected: int, found: int) -> Conflict:
    return Conflict(
        f"The settings were changed meanwhile: version {found} is in force, and version {expected} was expected. "
        "Read them again and repeat the change."
    )


def _note(note: str) -> str:
    words = wrong_with("note", note.strip())
    if words:
        raise InvalidInput(f"note must {words} (at most {MAX_NAME}).")
    return note.strip()
