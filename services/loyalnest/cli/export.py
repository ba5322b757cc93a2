"""`loyalnest export`: a merchant's data as files."""

from pathlib import Path
from typing import Annotated

import typer

from loyalnest.cli.admin import Merchant
from loyalnest.cli.console import DataDir, out, run, settings_at
from loyalnest.kit.discovery import discover
from loyalnest.kit.export import export_merchant
from loyalnest.kit.export_folder import Export


def export(
    merchant: Merchant,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make; nothing is written over.")],
    data: DataDir = None,
) -> None:
    """Write all rows that a merchant has in the services' tables to files: JSON lines per table, and manifest.json.

    Personal data stays sealed as it is stored; manifest.json says how to open it, and has the rows and the SHA-256 of
    each file. DIR gets its name when everything is complete, so that an export that was cut short is never taken for
    a whole one. If DIR holds a complete export of the merchant already, it is left as it is.
    """

    async def work() -> Export:
        async with settings_at(data) as settings:
            return await export_merchant(settings.placement(), discover().values(), merchant, folder.absolute())

    done = run(work)
    if not done.made:
        out.print(f"{done.folder} holds a complete export of {merchant} already, of {done.exported_at}. Nothing done.")
        return
    for table in done.tables:
        if table.rows:
            out.print(f"{table.file}: {table.rows:,} rows, {table.bytes:,} bytes")
    out.print(f"{merchant}: {done.rows:,} rows of {len(done.tables)} tables in {done.folder}")
