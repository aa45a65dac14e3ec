"""``echodeck ls``, ``show``, ``stop``, ``restart`` and ``rm``; ``variants`` and ``source`` for what servers run;
``nodes``, ``drain`` and ``resume`` for the nodes of a fleet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated

import typer

import echodeck
from app.console import completing
from app.console.figures import age, share, size
from app.console.many import to_each
from app.console.reach import Reach, asks
from app.console.tables import Line, escape, table, to_terminal

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="The server's name.", autocompletion=completing.servers, show_default=False),
]
Names = Annotated[
    list[str],
    typer.Argument(metavar="NAME...", help="The servers' names.", autocompletion=completing.servers),
]

NodeName = Annotated[str, typer.Argument(metavar="NODE", help="The node's name.", show_default=False)]


@asks
def ls(
    reach: Reach,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]", help="Only these servers.", autocompletion=completing.servers, show_default=False
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Names only, one a line.")] = False,
) -> None:
    """List the servers, one a line. A narrow terminal gets fewer columns, a pipe all of them."""
    servers = reach.deck.servers() if not names else []
    to_each(names or [], lambda name: servers.append(reach.deck.server(name)))
    if quiet:
        reach.answer([one.name for one in servers], "\n".join(one.name for one in servers))
        return
    reach.answer(servers, server_table(servers))
    if not servers:
        reach.hint("No servers; `echodeck start asyncio` is one.")


COLUMNS = ("VARIANT", "STATE", "SINCE", "ADDRESS", "OPEN", "WAIT", "IN", "OUT", "EXC", "LOOP")


def server_table(servers: list[echodeck.Server]) -> list[Line]:
    in_a_fleet = any(one.node for one in servers)
    return table(
        (
            "NAME",
            *(("NODE",) if in_a_fleet else ()),
            "VARIANT",
            "STATE",
            "SINCE",
            "ADDRESS",
            "OPEN",
            "WAIT",
            "IN",
            "OUT",
            "EXC",
            "LOOP",
        ),
        (
            (
                one.name,
                *((one.node or "-",) if in_a_fleet else ()),
                one.variant,
                one.state,
                age(one.since),
                address(one),
                str(one.connections.open),
                str(one.connections.waiting),
                size(one.bytes_in),
                size(one.bytes_out),
                str(one.exceptions),
                share(one.loop_share),
            )
            for one in servers
        ),
        right=frozenset({"SINCE", "OPEN", "WAIT", "IN", "OUT", "EXC", "LOOP"}),
        gives_way=("VARIANT", "OUT", "SINCE", "IN", "LOOP", "ADDRESS", "EXC"),
    )


def address(server: echodeck.Server) -> str:
    return f"[{server.host}]:{server.port}" if ":" in server.host else f"{server.host}:{server.port}"


@asks
def show(reach: Reach, name: Name) -> None:
    """Show one server: its figures and settings, and why it ended last."""
    server = reach.deck.server(name)
    lines: list[tuple[str, str]] = [
        ("variant", f"{server.variant}, on {'the loop' if server.runs_on == 'loop' else 'a thread'}"),
        ("state", f"{server.state} for {age(server.since)}, meant to be {server.desired}"),
        ("address", address(server)),
        ("clients", ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in _counts(server.connections))),
        ("bytes", f"{server.bytes_in} in, {server.bytes_out} out"),
        ("exceptions", str(server.exceptions)),
        ("restarts", str(server.restarts)),
    ]
    if server.loop_share is not None:
        lines.append(("loop", share(server.loop_share)))
    if server.cpu_seconds is not None:
        lines.append(("processor", f"{server.cpu_seconds:.2f} s"))
    if server.exit:
        lines.append(("last end", f"{age(server.exit.at)} ago: {server.exit.message or server.exit.reason}"))
    in_the_lines_above = {"variant", "host", "port", "name", "start"}
    for field, value in server.spec.items():
        if field not in in_the_lines_above:
            lines.append((field.replace("_", " "), {None: "none", True: "yes", False: "no"}.get(value, str(value))))
    reach.answer(server, "\n".join(f"{head:<16} {text}" for head, text in [("name", server.name), *lines]))


def _counts(counts: echodeck.Counts) -> Iterator[tuple[str, int]]:
    for what in ("open", "waiting", "peak", "total", "turned_away"):
        yield what, getattr(counts, what)


@asks
def stop(
    reach: Reach,
    names: Names,
    drain: Annotated[
        float, typer.Option(metavar="SECONDS", help="The time for open connections to end by themselves, up to 3600.")
    ] = 0,
) -> None:
    """Stop servers. The command returns when they are stopped."""

    def do(name: str) -> None:
        server = reach.deck.stop(name, drain)
        reach.answer(server, f"{name} is {server.state}")

    to_each(names, do, "stopping", long=drain > 0)


@asks
def restart(reach: Reach, names: Names) -> None:
    """Stop servers and start them again. The command returns when they listen."""

    def do(name: str) -> None:
        server = reach.deck.restart(name)
        reach.answer(server, f"{name} listens on {address(server)}")

    to_each(names, do, "restarting")


@asks
def rm(reach: Reach, names: Names) -> None:
    """Stop servers and remove them."""

    def do(name: str) -> None:
        reach.deck.remove(name)
        reach.answer({"removed": name}, f"{name} was removed")

    to_each(names, do, "removing")


@asks
def variants(reach: Reach) -> None:
    """List the variants: the ways in which a server can serve."""
    found = reach.deck.variants()
    rows = ((str(one.step or "-"), one.name, one.runs_on, one.title, one.lesson) for one in found)
    columns = ("STEP", "NAME", "RUNS ON", "TITLE", "LESSON")
    reach.answer(found, table(columns, rows, right=frozenset({"STEP"}), gives_way=("LESSON", "RUNS ON")))


@asks
def source(
    reach: Reach,
    variant: Annotated[
        str,
        typer.Argument(metavar="VARIANT", help="One of `echodeck variants`.", autocompletion=completing.variants),
    ],
) -> None:
    """Print the source file of a variant."""
    text = reach.deck.source(variant)
    if reach.as_json:
        reach.answer_json({"variant": variant, "source": text})
    elif to_terminal():
        from rich.console import Console  # slow to import, and needed in a terminal only
        from rich.syntax import Syntax

        source = Syntax(escape(text), "python", theme="ansi_dark", background_color="default", word_wrap=True)
        Console().print(source, soft_wrap=True)
    else:
        sys.stdout.write(text)


@asks
def nodes(reach: Reach) -> None:
    """List the nodes of the fleet."""
    found = reach.deck.nodes()
    rows = (
        (
            one.name,
            one.state,
            age(one.since) if one.since else "-",
            "-" if one.servers is None else str(one.servers),
            "-" if one.connections is None else str(one.connections),
            share(one.loop_share),
            "-" if one.lease_left is None else f"{one.lease_left:.1f} s",
            one.url,
            one.version,
        )
        for one in found
    )
    columns = ("NODE", "STATE", "SINCE", "SERVERS", "OPEN", "LOOP", "LEASE", "URL", "VERSION")
    right = frozenset({"SINCE", "SERVERS", "OPEN", "LOOP", "LEASE"})
    troubles = {one["detail"] for node in found if node.etcd for one in node.etcd["troubles"]}
    reach.answer(found, table(columns, rows, right=right, gives_way=("VERSION", "URL", "LEASE")))
    for trouble in sorted(troubles):
        reach.hint(f"trouble with etcd: {trouble}")
    if not found:
        reach.hint("This app is no node of a fleet; `echodeck serve --fleet` makes it one.")


@asks
def drain(reach: Reach, node: NodeName) -> None:
    """Have a node give its floating servers to others, and take no more."""
    one = reach.deck.drain(node)
    reach.answer(one, f"{one.name} gives its servers away; {one.servers or 0} are pinned to it.")


@asks
def resume(reach: Reach, node: NodeName) -> None:
    """Have a node take servers again."""
    one = reach.deck.resume(node)
    reach.answer(one, f"{one.name} takes servers again.")
