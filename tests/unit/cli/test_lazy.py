"""Every command is there, and help imports none of the services."""

import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from loyalnest.cli import main
from loyalnest.cli.lazy import LazyGroup

pytestmark = pytest.mark.usefixtures("logs_as_before")

GROUPS = {
    "": main.Commands,
    "rfm": main.RfmCommands,
    "keys": main.KeyCommands,
    "deadletters": main.DeadLetterCommands,
    "gdpr": main.GdprCommands,
}
COMMANDS = [
    (f"{name} {command}".split(), line)
    for name, group in GROUPS.items()
    for command, (_, line) in group.targets.items()
]


@pytest.mark.parametrize(("command", "line"), COMMANDS, ids=[" ".join(command) for command, _ in COMMANDS])
def test_a_command_is_listed_and_explains_itself(command: list[str], line: str) -> None:
    runner = CliRunner()
    listed = runner.invoke(main.app, [*command[:-1], "--help"])
    assert line in listed.output
    shown = runner.invoke(main.app, [*command, "--help"])
    assert shown.exit_code == 0, shown.output
    assert f"Usage: loyalnest {' '.join(command)}" in shown.output


def test_groups_are_listed_behind_the_commands() -> None:
    listed = CliRunner().invoke(main.app, ["--help"]).output.split("Commands:")[1]
    assert [row.split()[0] for row in listed.split("\n  ")[1:]] == [*main.Commands.targets, *filter(None, GROUPS)]


@pytest.mark.parametrize("arguments", [["nothing"], ["rfm", "nothing"]])
def test_an_unknown_command_is_named(arguments: list[str]) -> None:
    done = CliRunner().invoke(main.app, arguments)
    assert done.exit_code == 2
    assert "No such command 'nothing'" in done.output


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["no-such"]])
def test_what_needs_no_service_imports_none(arguments: list[str]) -> None:
    script = (
        "import json, sys\nfrom loyalnest.cli.main import main\n"
        f"sys.argv = ['loyalnest', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('\\n' + json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    imported = set(json.loads(done.stdout.splitlines()[-1]))
    assert "typer" in imported
    assert not imported & {"fastapi", "sqlalchemy", "asyncpg", "redis", "loyalnest.kit.runtime"}


def test_a_command_that_is_added_as_usual_is_found_too() -> None:
    app = typer.Typer(cls=LazyGroup, rich_markup_mode=None)

    @app.command("near")
    def near() -> None:
        typer.echo("here")

    @app.callback()
    def group() -> None:
        """Make it a group."""

    assert CliRunner().invoke(app, ["near"]).output == "here\n"
