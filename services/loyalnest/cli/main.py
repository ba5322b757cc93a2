"""The `loyalnest` command: one subcommand a task, each with help a person can use."""

import sys

import typer
from pydantic import ValidationError

from loyalnest import __version__
from loyalnest.cli import admin, deadletters, export, inspect, replay, serve, up
from loyalnest.cli.console import complain, out
from loyalnest.kit import logs
from loyalnest.kit.errors import LoyalNestError
from loyalnest.kit.settings import Settings

app = typer.Typer(
    name="loyalnest",
    help="LoyalNest, a loyalty platform for Shopify merchants. Start with: loyalnest up",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        out.print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    # Until a command reads its settings: what goes wrong, to standard error, so that output can be piped.
    logs.configure(Settings.model_construct(log_level="ERROR", log_format="console"))


app.command("up")(up.up)
app.command("serve")(serve.serve)
app.command("migrate")(serve.migrate)
app.command("provision")(serve.provision)
app.command("services")(inspect.services)
app.command("token")(admin.token)
app.command("replay")(replay.replay)
app.command("verify")(admin.verify)
app.command("export")(export.export)
rfm = typer.Typer(help="RFM scores and segments.", no_args_is_help=True)
rfm.command("refresh")(admin.rfm_refresh)
app.add_typer(rfm, name="rfm")
keys = typer.Typer(help="Encryption keys.", no_args_is_help=True)
keys.command("rotate")(admin.keys_rotate)
app.add_typer(keys, name="keys")
letters = typer.Typer(help="Events that a service gave up on.", no_args_is_help=True)
letters.command("list")(deadletters.list_letters)
letters.command("replay")(deadletters.replay_letters)
app.add_typer(letters, name="deadletters")


def main() -> None:
    """Entry point. What goes wrong with words for the caller is one line and exit code 1."""
    try:
        app(prog_name="loyalnest")
    except LoyalNestError as error:
        complain(error.detail)
    except ValidationError as error:
        wrong = "; ".join(f"LOYALNEST_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        complain(f"The environment is not right: {wrong}.")
    sys.exit(1)
