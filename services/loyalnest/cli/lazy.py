"""Groups of commands whose modules are imported when one of them is wanted, so that help and mistakes are quick."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup


class LazyGroup(TyperGroup):
    """A group whose own commands `targets` names: where each is (module:function), and its one line in the list."""

    targets: ClassVar[Mapping[str, tuple[str, str]]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        """The names in their order; those that were added as usual come last."""
        return [*self.targets, *super().list_commands(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name, its module imported."""
        if cmd_name not in self.targets:
            return super().get_command(ctx, cmd_name)
        module, _, function = self.targets[cmd_name][0].partition(":")
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        app.command(cmd_name)(getattr(import_module(module), function))
        return typer.main.get_command(app)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands into a help text."""
        lines = {name: line for name, (_, line) in self.targets.items()}
        lines |= {name: command.get_short_help_str() for name, command in self.commands.items()}
        with formatter.section("Commands"):
            formatter.write_dl(list(lines.items()))
