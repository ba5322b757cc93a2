"""All SQL of templates and e-mail settings: append-only versions, of which the highest is in force."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from loyalnest.admin_features.defaults import Content
from loyalnest.admin_features.email_settings import EmailSettings
from loyalnest.admin_features.kinds import Channel, Kind
from loyalnest.admin_features.models import TemplateVersion
from loyalnest.kit.database import Connection

_COLUMNS = """t.event, t.channel, t.language, t.version, t.removed, t.subject, t.text, t.html, t.changed_by,
    t.changed_at"""
_settings = msgspec.json.Decoder(EmailSettings)


async def in_force(connection: Connection, merchant_id: str) -> list[TemplateVersion]:
    """The highest version of each of a merchant's templates, removed ones among them."""
    rows = await connection.fetch(
        f"""
        SELECT DISTINCT ON (t.event, t.channel, t.language) {_COLUMNS}
        FROM admin_features.email_templates t WHERE t.merchant_id = $1
        ORDER BY t.event, t.channel, t.language, t.version DESC
        """,
        merchant_id,
    )
    return [_version(row) for row in rows]


async def versions(
    connection: Connection, merchant_id: str, kind: Kind, channel: Channel, language: str, before: int, limit: int
) -> list[TemplateVersion]:
    """Versions of one template, newest first, those below `before`."""
    rows = await connection.fetch(
        f"""
        SELECT {_COLUMNS} FROM admin_features.email_templates t
        WHERE t.merchant_id = $1 AND t.event = $2 AND t.channel = $3 AND t.language = $4 AND t.version < $5
        ORDER BY t.version DESC LIMIT $6
        """,
        merchant_id,
        kind,
        channel,
        language,
        before,
        limit,
    )
    return [_version(row) for row in rows]


async def append(connection: Connection, merchant_id: str, template: TemplateVersion) -> bool:
    """Write a version. False if one of that number is there, also if it came at the same moment."""
    written = await connection.fetchval(
        """
        INSERT INTO admin_features.email_templates
            (merchant_id, event, channel, language, version, removed, subject, text, html, changed_by, changed_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        ON CONFLICT (merchant_id, event, channel, language, version) DO NOTHING
        RETURNING version
        """,
        merchant_id,
        template.kind,
        template.channel,
        template.language,
        template.version,
        template.removed,
        template.content.subject,
        template.content.text,
        template.content.html,
        template.changed_by,
        template.changed_at,
    )
    return written is not None


async def settings_of(connection: Connection, merchants: Iterable[str]) -> dict[str, tuple[int, EmailSettings]]:
    """Version and settings in force, of each merchant that has some."""
    rows = await connection.fetch(
        """
        SELECT k.merchant_id, s.version, s.settings
        FROM unnest($1::text[]) AS k(merchant_id)
        CROSS JOIN LATERAL (
            SELECT e.version, e.settings FROM admin_features.email_settings e
            WHERE e.merchant_id = k.merchant_id ORDER BY e.version DESC LIMIT 1
        ) s
        """,
        sorted(set(merchants)),
    )
    return {row["merchant_id"]: (row["version"], _settings.decode(row["settings"])) for row in rows}


async def append_settings(
    connection: Connection, merchant_id: str, version: int, settings: EmailSettings, actor: str, now: datetime
) -> bool:
    """Write a version of the settings. False if one of that number is there."""
    written = await connection.fetchval(
        """
        INSERT INTO admin_features.email_settings (merchant_id, version, settings, changed_by, changed_at)
        VALUES ($1, $2, $3::jsonb, $4, $5)
        ON CONFLICT (merchant_id, version) DO NOTHING
        RETURNING version
        """,
        merchant_id,
        version,
        msgspec.json.encode(settings).decode(),
        actor,
        now,
    )
    return written is not None


async def settings_versions(
    connection: Connection, merchant_id: str, before: int, limit: int
) -> Sequence[tuple[int, EmailSettings, str, datetime]]:
    """Versions of the settings, newest first, those below `before`: number, settings, who and when."""
    rows = await connection.fetch(
        """
        SELECT e.version, e.settings, e.changed_by, e.changed_at FROM admin_features.email_settings e
        WHERE e.merchant_id = $1 AND e.version < $2 ORDER BY e.version DESC LIMIT $3
        """,
        merchant_id,
        before,
        limit,
    )
    return [(row["version"], _settings.decode(row["settings"]), row["changed_by"], row["changed_at"]) for row in rows]


def _version(row: Any) -> TemplateVersion:
    return TemplateVersion(
        kind=Kind(row["event"]),
        channel=Channel(row["channel"]),
        language=row["language"],
        version=row["version"],
        removed=row["removed"],
        content=Content(row["subject"], row["text"], row["html"]),
        changed_by=row["changed_by"],
        changed_at=row["changed_at"],
    )
