"""The program ``echodeck``. A command is imported when it runs; until then there is a line of its help in a table."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
import typer.main
from typer.core import TyperCommand

from app import __version__
from app.console.parameters import Command, Group
from app.console.tables import to_terminal
from app.program.exit_codes import INVALID, fail


class Entry(NamedTuple):
    module: str
    """The function, or the group, has the command's name there."""
    help: str
    """The first paragraph of the command's own."""


COMMANDS = {
    "serve": Entry(
        "app.commands.serve", "Start the app and its page. Ctrl+C ends the app; a second one ends it at once."
    ),
    "health": Entry(
        "app.commands.serve", "Exit code 0 if the app answers and takes work, else 1 and the reason. Needs no token."
    ),
    "variants": Entry("app.commands.servers", "List the variants: the ways in which a server can serve."),
    "source": Entry("app.commands.servers", "Print the source file of a variant."),
    "start": Entry(
        "app.commands.starting", "Create a server and start it, or start one that is there; return once it listens."
    ),
    "change": Entry(
        "app.commands.starting",
        "Change a server; what is not given stays. Variant, port and host change only while it is stopped.",
    ),
    "ls": Entry(
        "app.commands.servers",
        "List the servers, one a line. A narrow terminal gets fewer columns, a pipe all of them.",
    ),
    "show": Entry("app.commands.servers", "Show one server: its figures and settings, and why it ended last."),
    "stop": Entry("app.commands.servers", "Stop servers. The command returns when they are stopped."),
    "restart": Entry(
        "app.commands.servers", "Stop servers and start them again. The command returns when they listen."
    ),
    "rm": Entry("app.commands.servers", "Stop servers and remove them."),
    "nodes": Entry("app.commands.servers", "List the nodes of the fleet."),
    "drain": Entry("app.commands.servers", "Have a node give its floating servers to others, and take no more."),
    "resume": Entry("app.commands.servers", "Have a node take servers again."),
    "connections": Entry(
        "app.commands.clients", "List the open connections, and the clients that wait in a server's accept queue."
    ),
    "hangup": Entry(
        "app.commands.clients", "Hang up connections. A client that still waits to be accepted cannot be hung up."
    ),
    "term": Entry(
        "app.commands.clients",
        "Connect to a server, like nc: stdin is sent to it, and its answers are written to stdout. Ctrl+C ends it.",
    ),
    "exceptions": Entry(
        "app.commands.exceptions",
        "Show the exceptions of servers, the newest last. Equal ones of one run are one line with their number.",
    ),
    "calls": Entry(
        "app.commands.glass",
        "Show each call that a server makes on its sockets and selectors, as it makes it. Ctrl+C ends it.",
    ),
    "compare": Entry(
        "app.commands.glass",
        "Play a script of clients to fresh servers of several variants, and show what each waited for.",
    ),
    "top": Entry(
        "app.commands.top",
        "Show live the loop's shares and lag, and the traffic of each server. q ends it, s changes the order.",
    ),
    "lab": Entry("app.commands.lab", "Measure variants, and read what was measured."),
    "apply": Entry(
        "app.commands.declare",
        "Make the servers equal to what a file declares: show the differences, and apply them.",
    ),
    "export": Entry(
        "app.commands.declare",
        "Write the servers as a file for apply and serve --config. Fields that have their default are left out.",
    ),
    "visitors": Entry(
        "app.commands.demo",
        "Visit the running servers until Ctrl+C, as people do: chat, wait, send boom or quit, reset, half-close.",
    ),
    "demo": Entry("app.commands.demo", "Run the app with a server of every variant, and visitors, until Ctrl+C."),
    "fleet": Entry(
        "app.commands.demo",
        "Run an etcd and three nodes of a fleet, with servers that float and visitors, until Ctrl+C.",
    ),
}


class Commands(Group):
    """The commands of the table, each with its help only until it is run or its arguments are completed."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        for name, entry in COMMANDS.items():
            self.add_command(TyperCommand(name, short_help=entry.help))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and load(command.name or "", self.rich_markup_mode), rest


def load(name: str, markup: Any) -> Any:
    """Import a command; ``markup`` is that of its help."""
    found = getattr(import_module(COMMANDS[name].module), name)
    group = typer.Typer(rich_markup_mode=markup)
    if isinstance(found, typer.Typer):
        group.add_typer(found, name=name)
    else:
        group.command(name, cls=Command)(found)
    return typer.main.get_group(group).commands[name]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"echodeck {__version__}")
        raise typer.Exit


def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """A supervisor for TCP echo servers, run from a web page."""


def _said(install: Any) -> Any:
    """The callback of ``--install-completion``, which writes into the home directory; its errors in one line."""

    def callback(*given: Any) -> Any:
        try:
            return install(*given)
        except typer.Exit:
            raise
        except (OSError, RuntimeError, UnicodeError) as error:
            reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
            fail(f"--install-completion: the shell's files in the home directory cannot be written: {reason}", INVALID)

    return callback


def main() -> None:
    markup: Any = "rich" if to_terminal() else None  # plain help and errors: rich is imported for a person only
    cli = typer.Typer(cls=Commands, no_args_is_help=True, rich_markup_mode=markup)
    cli.callback()(program)
    command = typer.main.get_command(cli)
    for parameter in command.params:
        if parameter.name == "install_completion":
            parameter.callback = _said(parameter.callback)
    command(prog_name="echodeck")
