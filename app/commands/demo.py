"""``echodeck demo`` and ``echodeck visitors``: something to look at."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from random import Random
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

import echodeck
from app.console.reach import Reach, asks
from app.console.tables import plain
from app.demo.declaration import PORT, as_toml, declaration, taken
from app.demo.visitors import Report, Visitors
from app.program.exit_codes import REFUSED, SENSELESS, fail

cli = typer.Typer()

SECONDS_TO_END = 10.0
"""For the app, after which it is killed; it takes less than five."""

Seed = Annotated[int | None, typer.Option(help="Makes their chance the same every time.", show_default=False)]


@cli.command()
@asks
def visitors(
    reach: Reach,
    host: Annotated[str | None, typer.Option(help="Where the servers are.  [where the app is]")] = None,
    seed: Seed = None,
) -> None:
    """Visit the servers that run, as people do, until Ctrl+C: chat, dawdle, say boom and quit, reset, half-close.

    There are at most 56 at once. When the app goes away they wait for it.
    """

    def tell(news: Report | str) -> None:
        told = news.as_dict() if isinstance(news, Report) else {"said": news}
        typer.echo(json.dumps(told) if reach.as_json else plain(str(news)))

    where = host or urlsplit(reach.deck.url).hostname or "127.0.0.1"
    asyncio.run(_until_told_to_end(Visitors(reach.deck, where, Random(seed), tell).run()))  # noqa: S311  # no secret


@cli.command()
def demo(
    port: Annotated[
        int, typer.Option(min=1024, max=65000, help="The page's; the servers' follow: steps +1 to +7, others from +11.")
    ] = PORT,
    state: Annotated[
        str, typer.Option(help="The file that remembers what happened; `:memory:` for none.")
    ] = ":memory:",
    seed: Seed = None,
    declare: Annotated[
        bool, typer.Option("--declare", help="Only print the servers, for `serve --config` or `apply`.")
    ] = False,
    host: Annotated[str, typer.Option(help="Where the servers listen, for --declare.")] = "127.0.0.1",
) -> None:
    """Run the app with a server of every variant, and visitors in them, until Ctrl+C."""
    if declare:
        typer.echo(as_toml(port, host), nl=False)
        return
    if host != "127.0.0.1":
        fail("--host is for --declare; the demo itself is for this machine only", SENSELESS)
    ports = [port, *(one["port"] for one in declaration(port))]
    if held := taken(ports):
        many = len(held) > 1
        fail(
            f"{'ports' if many else 'port'} {', '.join(map(str, held))} {'are' if many else 'is'} taken by another "
            f"program (perhaps an echodeck that runs already); end it, or choose other ports with --port {port + 1000}",
            REFUSED,
        )
    code = asyncio.run(_demo(port, state, ports, Random(seed)))  # noqa: S311  # no secret
    if code:
        raise typer.Exit(REFUSED)


async def _demo(port: int, state: str, ports: list[int], chance: Random) -> int:
    """What the app ended with, if not for us."""
    with tempfile.TemporaryDirectory(prefix="echodeck-") as folder:
        config = Path(folder) / "demo.toml"
        config.write_text(as_toml(port))
        app = await asyncio.create_subprocess_exec(
            *(sys.executable, echodeck.__file__, "serve", "--host", "127.0.0.1", "--port", str(port)),
            *("--state", state, "--config", str(config), "--json", "--quiet"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            # In a group of its own a Ctrl+C does not reach it: our SIGTERM would be its second signal, which kills.
            process_group=0,
        )
        try:
            await _until_told_to_end(_watch(app, ports, chance))
            return app.returncode or 0
        finally:
            if app.returncode is None:
                app.terminate()
                try:
                    await asyncio.wait_for(app.wait(), SECONDS_TO_END)
                except TimeoutError:
                    app.kill()
                    await app.wait()


async def _watch(app: asyncio.subprocess.Process, ports: list[int], chance: Random) -> None:
    """Visitors for as long as the app runs."""
    assert app.stdout
    if told := await app.stdout.readline():
        url = json.loads(told)["url"]
        typer.echo(
            f"Echodeck's page is at {url}\nIts servers listen on ports {ports[1]} to {ports[-1]}, "
            "and visitors are on their way.\nCtrl+C ends it all."
        )
        with echodeck.Client(url, os.environ.get("ECHODECK_TOKEN")) as deck:
            visiting = asyncio.create_task(Visitors(deck, "127.0.0.1", chance).run())
            try:
                await app.wait()
            finally:
                visiting.cancel()
                await asyncio.wait({visiting})
    else:
        await app.wait()


async def _until_told_to_end(work: Coroutine[Any, Any, None]) -> None:
    """Do this until it is done, or until a signal ends it."""
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if sig is not signal.SIGHUP or signal.getsignal(sig) is not signal.SIG_IGN:  # as it is under nohup
            loop.add_signal_handler(sig, task.cancel)
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()
