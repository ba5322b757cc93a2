"""The `loyalnest` command: one subcommand a task, each with help a person can use."""

import sys
from typing import ClassVar

import typer

from loyalnest import __version__
from loyalnest.cli.lazy import LazyGroup
from loyalnest.kit.errors import LoyalNestError


class Commands(LazyGroup):
    """What `loyalnest` can do."""

    targets: ClassVar = {
        "up": ("loyalnest.cli.up:up", "Run everything on this machine."),
        "serve": ("loyalnest.cli.serve:serve", "Run services, configured by the environment."),
        "migrate": ("loyalnest.cli.serve:migrate", "Bring databases to their newest schema."),
        "provision": ("loyalnest.cli.serve:provision", "Bring merchants to what their programs say."),
        "services": ("loyalnest.cli.inspect:services", "List the services, their topics and methods."),
        "token": ("loyalnest.cli.admin:token", "Print a bearer token for a merchant's admin."),
        "replay": ("loyalnest.cli.replay:replay", "Send a file of purchases as signed deliveries."),
        "verify": ("loyalnest.cli.admin:verify", "Prove the ledger and the audit log."),
        "export": ("loyalnest.cli.export:export", "Write all rows of a merchant to files."),
        "close": ("loyalnest.cli.moving:close", "Take nothing of a merchant any more."),
        "move": ("loyalnest.cli.moving:move", "Copy a closed merchant to another place."),
        "forward": ("loyalnest.cli.moving:forward", "Send a moved merchant's late deliveries after it."),
        "erase": ("loyalnest.cli.moving:erase", "Delete all rows of a merchant."),
    }


class RfmCommands(LazyGroup):
    """What can be done about scores."""

    targets: ClassVar = {"refresh": ("loyalnest.cli.admin:rfm_refresh", "Score all customers of a merchant anew.")}


class KeyCommands(LazyGroup):
    """What can be done about keys."""

    targets: ClassVar = {"rotate": ("loyalnest.cli.admin:keys_rotate", "Make new keys, and wrap all under the newest.")}


class DeadLetterCommands(LazyGroup):
    """What can be done about dead letters."""

    targets: ClassVar = {
        "list": ("loyalnest.cli.deadletters:list_letters", "List them with their errors."),
        "replay": ("loyalnest.cli.deadletters:replay_letters", "Publish them again."),
    }


class GdprCommands(LazyGroup):
    """What can be done about privacy requests."""

    targets: ClassVar = {
        "replay": ("loyalnest.cli.gdpr:replay", "Tell of redactions again, after a restore from a backup."),
    }


app = typer.Typer(
    name="loyalnest",
    cls=Commands,
    help="LoyalNest, a loyalty platform for Shopify merchants. Start with: loyalnest up",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(
    typer.Typer(cls=RfmCommands, help="RFM scores and segments.", no_args_is_help=True),
    name="rfm",
)
app.add_typer(typer.Typer(cls=KeyCommands, help="Encryption keys.", no_args_is_help=True), name="keys")
app.add_typer(
    typer.Typer(cls=DeadLetterCommands, help="Events that a service gave up on.", no_args_is_help=True),
    name="deadletters",
)
app.add_typer(typer.Typer(cls=GdprCommands, help="Privacy requests.", no_args_is_help=True), name="gdpr")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    # Until a command reads its settings: what goes wrong, to standard error, so that output can be piped.
    from loyalnest.kit import logs  # not at the top: no help text needs them
    from loyalnest.kit.settings import Settings

    logs.configure(Settings.model_construct(log_level="ERROR", log_format="console"))


def main() -> None:
    """Entry point. What goes wrong with words for the caller is one line and exit code 1."""
    try:
        app(prog_name="loyalnest")
    except LoyalNestError as error:
        typer.secho("Error:", fg="red", bold=True, err=True, nl=False)
        typer.echo(f" {error.detail}", err=True)
    sys.exit(1)
