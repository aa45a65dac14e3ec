"""``echodeck demo``, ``fleet`` and ``visitors``: an app, or three, with servers and traffic."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

import echodeck
from app.console.reach import Reach, asks
from app.console.tables import escape
from app.demo.declaration import PORT, as_toml, declaration, taken
from app.demo.engine import NoEngine, engine
from app.demo.visitors import Report, Visitors
from app.program.exit_codes import INVALID, REFUSED, fail
from app.program.outlet import unblocked

NODES = {"node-a": "127.0.0.1", "node-b": "127.0.0.2", "node-c": "127.0.0.3"}
"""Of the fleet that is tried out, and where each is and serves."""

SECONDS_TO_END = 10.0
"""For the app to end, which takes less than five; then it is killed."""

Seed = Annotated[int | None, typer.Option(help="The seed of the visitors' random choices.", show_default=False)]


@asks
def visitors(
    reach: Reach,
    host: Annotated[str | None, typer.Option(help="The servers' host.  [the app's host]")] = None,
    seed: Seed = None,
) -> None:
    """Visit the running servers until Ctrl+C, as people do: chat, wait, send boom or quit, reset, half-close.

    There are at most 56 visitors at once. When the app has ended they wait until it runs again.
    """

    def print_report(report: Report | str) -> None:
        fields = report.as_dict() if isinstance(report, Report) else {"said": report}
        typer.echo(json.dumps(fields) if reach.as_json else escape(str(report)))

    where = host or urlsplit(reach.deck.url).hostname or "127.0.0.1"
    with unblocked():
        asyncio.run(_until_signalled(Visitors(reach.deck, where, Random(seed), print_report).run()))  # noqa: S311  # no secret


def demo(
    port: Annotated[
        int, typer.Option(min=1024, max=65000, help="The page's port; the servers': steps +1 to +7, others from +11.")
    ] = PORT,
    state: Annotated[Path, typer.Option(help="The file that keeps the state; `:memory:` for none.")] = Path(":memory:"),
    seed: Seed = None,
    declare: Annotated[
        bool, typer.Option("--declare", help="Only print the servers as a file for `serve --config` or `apply`.")
    ] = False,
    host: Annotated[str, typer.Option(help="The address on which the servers listen, with --declare.")] = "127.0.0.1",
) -> None:
    """Run the app with a server of every variant, and visitors, until Ctrl+C."""
    if declare:
        typer.echo(as_toml(port, host), nl=False)
        return
    if host != "127.0.0.1":
        fail("--host is for --declare; the demo itself listens on this machine only", INVALID)
    ports = [port, *(one["port"] for one in declaration(port))]
    if held := taken(ports):
        many = len(held) > 1
        fail(
            f"{'ports' if many else 'port'} {', '.join(map(str, held))} {'are' if many else 'is'} taken by another "
            f"program (perhaps an echodeck that runs already); end it, or choose other ports with --port {port + 1000}",
            REFUSED,
        )
    with unblocked():
        code = asyncio.run(_demo(port, str(state), ports, Random(seed)))  # noqa: S311  # no secret
    if code:
        raise typer.Exit(INVALID if code == INVALID else REFUSED)


def fleet(
    port: Annotated[int, typer.Option(min=1024, max=65000, help="The pages' port, on 127.0.0.1 to 127.0.0.3.")] = PORT,
    seed: Seed = None,
) -> None:
    """Run an etcd and three nodes of a fleet, with servers that float and visitors, until Ctrl+C."""
    held = [host for host in NODES.values() if taken([port], host)]
    if held:
        fail(f"port {port} is taken on {', '.join(held)}; choose another with --port {port + 1000}", REFUSED)
    with unblocked():
        try:
            asyncio.run(_until_signalled(_fleet(port, Random(seed))))  # noqa: S311  # no secret
        except NoEngine as reason:
            fail(str(reason), REFUSED)


async def _fleet(port: int, chance: Random) -> None:
    with tempfile.TemporaryDirectory(prefix="echodeck-") as folder:
        async with engine(Path(folder)) as engine_url, AsyncExitStack() as nodes:
            started = [
                await nodes.enter_async_context(
                    _serving(
                        *("--host", host, "--port", str(port), "--state", ":memory:"),
                        *("--fleet", engine_url, "--node", name, "--serve-on", host),
                    )
                )
                for name, host in NODES.items()
            ]
            urls = [await _url(app) for app in started]
            with echodeck.Client(urls[0], os.environ.get("ECHODECK_TOKEN")) as deck:
                for entry in declaration(port, "node"):
                    await asyncio.to_thread(partial(deck.create, **entry))
                typer.echo(f"Pages of one deck: {', '.join(urls)}\nThe nodes are these processes; kill one and watch:")
                for name, app in zip(NODES, started, strict=True):
                    typer.echo(f"  kill -9 {app.pid}   # {name}")
                typer.echo("Ctrl+C ends it all.")
                visiting = asyncio.create_task(_visits(urls, chance))
                try:
                    await asyncio.wait([asyncio.ensure_future(app.wait()) for app in started])
                finally:
                    visiting.cancel()
                    await asyncio.wait({visiting})


async def _visits(urls: list[str], chance: Random) -> None:
    """By the word of whichever node is there."""
    while True:
        for url in urls:
            with echodeck.Client(url, os.environ.get("ECHODECK_TOKEN")) as deck:
                gone = asyncio.Event()
                visiting = asyncio.create_task(Visitors(deck, "127.0.0.1", chance, partial(_heed, gone)).run())
                try:
                    await gone.wait()
                finally:
                    visiting.cancel()
                    await asyncio.wait({visiting})


def _heed(gone: asyncio.Event, said: Report | str) -> None:
    """What visitors say in words is that their node has gone."""
    if isinstance(said, str):
        gone.set()


async def _demo(port: int, state: str, ports: list[int], chance: Random) -> int:
    """The app's exit code, or 0 if the demo itself ended it."""
    with tempfile.TemporaryDirectory(prefix="echodeck-") as folder:
        config = Path(folder) / "demo.toml"
        config.write_text(as_toml(port), encoding="utf-8")
        serving = ("--host", "127.0.0.1", "--port", str(port), "--state", state, "--config", str(config))
        async with _serving(*serving) as app:
            await _until_signalled(_send_visitors(app, ports, chance))
            return app.returncode or 0


@asynccontextmanager
async def _serving(*options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """An app of one's own, which prints its address first."""
    app = await asyncio.create_subprocess_exec(
        *(sys.executable, echodeck.__file__, "serve", *options, "--json", "--quiet"),
        *("--ends-with", str(os.getpid())),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        # In a process group of its own Ctrl+C does not reach it: SIGTERM would be its second signal, which kills.
        process_group=0,
    )
    try:
        yield app
    finally:
        if app.returncode is None:
            app.terminate()
            try:
                await asyncio.wait_for(app.wait(), SECONDS_TO_END)
            except TimeoutError:
                app.kill()
                await app.wait()


async def _url(app: asyncio.subprocess.Process) -> str:
    assert app.stdout
    line = await app.stdout.readline()
    if not line:
        raise NoEngine("a node did not start; what it says of it is above")
    return str(json.loads(line)["url"]).rstrip("/")


async def _send_visitors(app: asyncio.subprocess.Process, ports: list[int], chance: Random) -> None:
    """Run visitors for as long as the app runs."""
    assert app.stdout
    if first_line := await app.stdout.readline():
        url = json.loads(first_line)["url"]
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


async def _until_signalled(work: Coroutine[Any, Any, None]) -> None:
    """Run this until it is done, or until a signal cancels it."""
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if sig is not signal.SIGHUP or signal.getsignal(sig) is not signal.SIG_IGN:  # as it is under nohup
            loop.add_signal_handler(sig, task.cancel)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()
