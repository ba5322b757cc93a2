"""Use cases of templates, for one merchant at a time."""

from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec

from loyalnest.admin_core.events import AuditLog
from loyalnest.admin_features import message_repository, template_repository
from loyalnest.admin_features.composing import Shop, envelope, own_templates, sample_values
from loyalnest.admin_features.defaults import LANGUAGES, Content, default_content
from loyalnest.admin_features.email_settings import EmailSettings
from loyalnest.admin_features.events import MESSAGE_PURPOSE, EmailEventCreated
from loyalnest.admin_features.kinds import KINDS, Channel, Kind
from loyalnest.admin_features.models import TemplateVersion
from loyalnest.admin_features.templating import Rendered, TemplateFault, checked, render
from loyalnest.admin_features.values import checked_recipient
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import current
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.errors import Conflict, InvalidInput, NotFound, RateLimited
from loyalnest.kit.events import new_id
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.paging import number_after, page_limit, page_of
from loyalnest.kit.rules_projection import RulesProjection

MOST_TESTS: Final = 20
TESTS_WITHIN: Final = timedelta(hours=1)
"""A test goes to any address, so there are few of them."""
MOST_LANGUAGES: Final = 40
_NEWEST: Final = 2**31 - 1

Key = tuple[Kind, Channel, str]


class Templates:
    """`merchant_id` always comes from the call's context, never from its input."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        keys: KeyRing,
        rules: RulesProjection,
        clock: Clock,
        email_from: str,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._keys = keys
        self._rules = rules
        self._clock = clock
        self._email_from = email_from

    async def in_force(self, merchant_id: str) -> list[TemplateVersion]:
        """Every template in force: the merchant's own, and LoyalNest's where there is none."""
        async with self._database.request(merchant_id) as connection:
            known = {_key(each): each for each in await template_repository.in_force(connection, merchant_id)}
        ours = [(kind, channel, each) for kind in Kind for channel in KINDS[kind].channels for each in LANGUAGES]
        keys = {*ours, *(key for key, each in known.items() if not each.removed)}
        return [_in_force(key, known.get(key)) for key in sorted(keys)]

    async def find(self, merchant_id: str, key: Key) -> TemplateVersion:
        """The template in force. Raises NotFound if there is none in that language."""
        async with self._database.request(merchant_id) as connection:
            return _in_force(key, await self._newest(connection, merchant_id, key))

    async def create(self, merchant_id: str, key: Key, content: Content) -> TemplateVersion:
        """The merchant's first own template of that kind. Raises Conflict if there is one, InvalidInput."""
        async with self._database.request(merchant_id) as connection:
            known = await self._newest(connection, merchant_id, key)
            if known is not None and not known.removed:
                raise Conflict("There is a template of your own for this already: update it.")
            await self._check_languages(connection, merchant_id, key[2])
            return await self._save(connection, merchant_id, key, known, content, "email_template.created")

    async def update(self, merchant_id: str, key: Key, expected_version: int, content: Content) -> TemplateVersion:
        """A new version. Raises NotFound without one of the merchant's own, Conflict if it is another, InvalidInput."""
        async with self._database.request(merchant_id) as connection:
            known = await self._newest(connection, merchant_id, key)
            if known is None or known.removed:
                raise NotFound("There is no template of your own for this yet: create one.")
            if known.version != expected_version:
                raise Conflict(f"The template is at version {known.version}, not {expected_version}: load it again.")
            return await self._save(connection, merchant_id, key, known, content, "email_template.updated")

    async def delete(self, merchant_id: str, key: Key) -> TemplateVersion:
        """Back to LoyalNest's own, which is returned if there is one in that language."""
        async with self._database.request(merchant_id) as connection:
            known = await self._newest(connection, merchant_id, key)
            if known is None or known.removed:
                raise NotFound("There is no template of your own for this.")
            await self._append(connection, merchant_id, key, known, Content(), "email_template.deleted", removed=True)
        ours = default_content(*key)
        return TemplateVersion(*key, known.version + 1, removed=True, content=ours or Content())

    async def versions(
        self, merchant_id: str, key: Key, page_size: int, page_token: str
    ) -> tuple[list[TemplateVersion], str]:
        """A page of versions, newest first, and the token of the next page (empty at the end)."""
        limit, before = page_limit(page_size), min(number_after(page_token), _NEWEST) or _NEWEST
        async with self._database.request(merchant_id) as connection:
            rows = await template_repository.versions(connection, merchant_id, *key, before, limit + 1)
        return page_of(rows, limit, lambda row: row.version)

    async def restore(self, merchant_id: str, key: Key, version: int) -> TemplateVersion:
        """Put an old version in force as a new one. Raises NotFound if there is no such version with a text."""
        async with self._database.request(merchant_id) as connection:
            known = await self._newest(connection, merchant_id, key)
            before = version + 1 if 0 < version < _NEWEST else 0
            found = await template_repository.versions(connection, merchant_id, *key, before, 1)
            if not found or found[0].version != version or found[0].removed:
                raise NotFound(f"There is no version {version} of this template to restore.")
            content = found[0].content
            return await self._save(connection, merchant_id, key, known, content, "email_template.restored")

    async def preview(self, merchant_id: str, key: Key, content: Content | None) -> Rendered:
        """How `content`, or the template in force, comes out with sample data. Raises InvalidInput."""
        async with self._database.request(merchant_id) as connection:
            shop = await self._shop(connection, merchant_id)
            if content is None:
                content = _in_force(key, await self._newest(connection, merchant_id, key)).content
        samples = sample_values(key[0], shop, key[2])
        checked(content, key[0], key[1], samples)
        return _rendered(content, samples[0])

    async def send_test(self, merchant_id: str, key: Key, to: str) -> UUID:
        """Send the template in force with sample data. Raises InvalidInput for no address, RateLimited."""
        kind, channel, language = key
        to, now, message_id = checked_recipient(channel, to), self._clock(), new_id()
        keys = await self._keys.for_merchant(merchant_id)
        async with self._database.request(merchant_id) as connection:
            if await message_repository.tests_since(connection, merchant_id, now - TESTS_WITHIN) >= MOST_TESTS:
                raise RateLimited(
                    f"At most {MOST_TESTS} tests an hour can be sent.", retry_after=TESTS_WITHIN.total_seconds()
                )
            shop = await self._shop(connection, merchant_id)
            template = _in_force(key, await self._newest(connection, merchant_id, key))
            rendered = _rendered(template.content, sample_values(kind, shop, language)[0])
            message = envelope(channel, to, rendered, shop, "")
            created = EmailEventCreated(
                message_id=message_id,
                channel=channel,
                reason=f"test:{kind}",
                sealed=keys.seal(MESSAGE_PURPOSE, msgspec.json.encode(message)),
                created_at=now,
            )
            await message_repository.add_test(connection, merchant_id, message_id, kind, channel, language, now)
            await self._outbox.append(connection, [created.event(merchant_id, str(message_id))])
        return message_id

    async def _newest(self, connection: Connection, merchant_id: str, key: Key) -> TemplateVersion | None:
        found = await template_repository.versions(connection, merchant_id, *key, _NEWEST, 1)
        return found[0] if found else None

    async def _shop(self, connection: Connection, merchant_id: str) -> Shop:
        rules = (await self._rules.load(connection, [merchant_id]))[merchant_id].rules
        settings = await settings_in_force(connection, merchant_id)
        return Shop(settings[1], rules.rfm.timezone, 0, self._email_from)

    async def _check_languages(self, connection: Connection, merchant_id: str, language: str) -> None:
        own = own_templates(await template_repository.in_force(connection, merchant_id))
        languages = {*LANGUAGES, *(each for _, _, each in own)}
        if language not in languages and len(languages) >= MOST_LANGUAGES:
            raise InvalidInput(f"There can be templates in at most {MOST_LANGUAGES} languages.")

    async def _save(
        self,
        connection: Connection,
        merchant_id: str,
        key: Key,
        known: TemplateVersion | None,
        content: Content,
        action: str,
    ) -> TemplateVersion:
        shop = await self._shop(connection, merchant_id)
        checked(content, key[0], key[1], sample_values(key[0], shop, key[2]))
        return await self._append(connection, merchant_id, key, known, content, action, removed=False)

    async def _append(
        self,
        connection: Connection,
        merchant_id: str,
        key: Key,
        known: TemplateVersion | None,
        content: Content,
        action: str,
        *,
        removed: bool,
    ) -> TemplateVersion:
        """Write the next version and tell the audit log. Raises Conflict if somebody else wrote it just now."""
        context, now = current(), self._clock()
        before = 0 if known is None else known.version
        version = TemplateVersion(*key, before + 1, removed, content, context.actor, now)
        if not await template_repository.append(connection, merchant_id, version):
            raise Conflict("Somebody else has just changed this template: load it again.")
        told = AuditLog(
            actor=context.actor,
            role=context.role,
            action=action,
            subject=f"email_template:{':'.join(key)}",
            before={"version": str(before)} if known is not None else {},
            after={"version": str(version.version)},
            at=now,
        )
        await self._outbox.append(connection, [told.event(merchant_id, told.subject)])
        return version


async def settings_in_force(connection: Connection, merchant_id: str) -> tuple[int, EmailSettings]:
    """The e-mail settings in force. Raises NotFound for a merchant without any."""
    found = await template_repository.settings_of(connection, [merchant_id])
    if merchant_id not in found:
        raise NotFound("This merchant has no e-mail settings yet: apply its LoyaltyProgram first.")
    return found[merchant_id]


def _in_force(key: Key, known: TemplateVersion | None) -> TemplateVersion:
    if known is not None and not known.removed:
        return known
    ours = default_content(*key)
    if ours is None:
        raise NotFound(
            f"There is no template for {key[0]} in {key[2]}; those of LoyalNest are in {', '.join(LANGUAGES)}."
        )
    return TemplateVersion(*key, 0 if known is None else known.version, removed=True, content=ours)


def _rendered(content: Content, values: object) -> Rendered:
    try:
        return render(content, values)  # type: ignore[arg-type]
    except TemplateFault as fault:
        raise InvalidInput(f"The template is not right: {fault}.") from None


def _key(template: TemplateVersion) -> Key:
    return template.kind, template.channel, template.language
