"""``echodeck serve``: the app itself; ``echodeck health``: whether it is well.

Annotations are not postponed here: typer would evaluate those of forty options four times.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import echodeck
from app.console.reach import DEFAULT_URL, AsJson
from app.console.tables import escape
from app.program import whereabouts
from app.program.exit_codes import INVALID, REFUSED, fail

if TYPE_CHECKING:  # imports pydantic, which ``health`` does not need
    from app.settings import Settings


def serve(
    host: Annotated[str | None, typer.Option(help="The page's address.  [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="The page's port; 0 picks a free one.  [8000]")] = None,
    state: Annotated[str | None, typer.Option(help="The file that keeps the state; `:memory:` for none.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="A file (TOML) that declares servers; SIGHUP reads it again.")
    ] = None,
    ports: Annotated[str | None, typer.Option(help="The ports that servers may use.  [1024-65535]")] = None,
    loop: Annotated[str | None, typer.Option(help="The event loop: asyncio or uvloop.  [asyncio]")] = None,
    connections: Annotated[
        int | None, typer.Option(help="Clients of all servers together that may be inside at once.  [no bound]")
    ] = None,
    streams: Annotated[int | None, typer.Option(help="Feeds and taps that may be read at once.  [100]")] = None,
    terminals: Annotated[int | None, typer.Option(help="Terminals that may be open at once.  [1000]")] = None,
    journal_entries: Annotated[int | None, typer.Option(help="Events that are kept.  [10000]")] = None,
    journal_exceptions: Annotated[int | None, typer.Option(help="Exceptions that are kept.  [1000]")] = None,
    journal_days: Annotated[float | None, typer.Option(help="Days for which both are kept.  [30]")] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="A file with the token that everybody must have; or ECHODECK_TOKEN.")
    ] = None,
    viewer_token_file: Annotated[
        Path | None, typer.Option(help="A file with the token that reads only; or ECHODECK_VIEWER_TOKEN.")
    ] = None,
    trust_network: Annotated[
        bool | None,
        typer.Option("--trust-network", help="Everybody who reaches this machine may use the page without a token."),
    ] = None,
    allowed_hosts: Annotated[str | None, typer.Option(help="More host names of the page, separated by commas.")] = None,
    root_path: Annotated[
        str | None, typer.Option(help="The path under which a reverse proxy mounts the page, such as /lab/echodeck.")
    ] = None,
    proxies: Annotated[
        str | None,
        typer.Option(
            help="Addresses or networks of reverse proxies, separated by commas, whose X-Forwarded-Host, -Proto and "
            "-For are believed."
        ),
    ] = None,
    fleet: Annotated[
        str | None, typer.Option(help="Be a node of the fleet of this etcd: its URLs, separated by commas.")
    ] = None,
    node: Annotated[str | None, typer.Option(help="The node's name in the fleet.")] = None,
    advertise: Annotated[
        str | None, typer.Option(help="The URL by which other nodes reach this one.  [where the page listens]")
    ] = None,
    serve_on: Annotated[
        str | None, typer.Option(help="The address of servers whose host is `node`.  [127.0.0.1]")
    ] = None,
    fleet_user: Annotated[str | None, typer.Option(help="For an etcd that wants one; ECHODECK_FLEET_PASSWORD.")] = None,
    fleet_ca: Annotated[Path | None, typer.Option(help="The authority that signed etcd's certificate.")] = None,
    fleet_cert: Annotated[Path | None, typer.Option(help="This node's certificate for etcd.")] = None,
    fleet_key: Annotated[Path | None, typer.Option(help="The key of that certificate.")] = None,
    lease: Annotated[int | None, typer.Option(help="Seconds after which a silent node has no servers.  [4]")] = None,
    renew: Annotated[float | None, typer.Option(help="Seconds between two renewals of the lease.  [0.5]")] = None,
    fence: Annotated[
        float | None, typer.Option(help="Seconds without a renewal after which a node ends what floats.  [3]")
    ] = None,
    rebalance: Annotated[
        str | None, typer.Option(help="`off`: servers stay where they are while their node lives.  [on]")
    ] = None,
    lab_targets: Annotated[
        bool | None,
        typer.Option("--lab-targets", help="The lab may send load to servers of other machines too, as it is told to."),
    ] = None,
    quiet: Annotated[
        bool | None,
        typer.Option(
            "--quiet", "-q", help="Keep the exceptions and messages of servers out of the log; the page has them."
        ),
    ] = None,
    ends_with: Annotated[
        int | None, typer.Option(metavar="PID", help="End, as at SIGTERM, when this process ends, whatever it dies of.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start the app and its page. Ctrl+C ends the app; a second one ends it at once.

    Each option can be set in the environment too, as ECHODECK_PORT and so on. With ECHODECK_TOKEN everybody needs this
    token; ECHODECK_VIEWER_TOKEN is a token that reads only.
    """
    options = {name: value for name, value in locals().items() if value is not None and name != "as_json"}
    settings = _settings(options)
    from app.program.launch import launch  # imports the whole app, which is slow; no other command needs it

    launch(settings, as_json)


def _settings(options: dict[str, Any]) -> "Settings":
    from pydantic import ValidationError

    from app.settings import Settings

    try:
        return Settings(**options)
    except RuntimeError:
        fail("there is no home directory; choose a file with --state, or `--state :memory:`", INVALID)
    except ValidationError as error:
        for one in error.errors():
            name = ".".join(str(part) for part in one["loc"])
            where = f"--{name.replace('_', '-')}" if name in options else f"ECHODECK_{name.upper()}" if name else ""
            message = one["msg"].removeprefix("Value error, ")
            typer.echo(": ".join(filter(None, ("echodeck", where, message))), err=True)
        raise typer.Exit(INVALID) from None


def health(
    url: Annotated[
        str | None,
        typer.Option(
            envvar="ECHODECK_URL",
            show_envvar=False,
            help="The app's address; or ECHODECK_URL.  \\[where this user's app on this machine says that it is]",
        ),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="Ask the app that keeps this state file, where several apps run.")
    ] = None,
    patience: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="How long an answer may take.")] = 2.5,
) -> None:
    """Exit code 0 if the app answers and takes work, else 1 and the reason. Needs no token."""
    try:
        addresses = [url] if url else whereabouts.found(state)
    except OSError as error:
        fail(escape(f"--state {state}: {error.strerror}"), INVALID)
    if state and not addresses:
        fail(f"no app of this user keeps {escape(str(state))}", REFUSED)
    addresses = addresses or [DEFAULT_URL]
    if len(addresses) > 1:
        fail(f"there are several apps here: {', '.join(sorted(addresses))}; choose one with --url or --state", REFUSED)
    try:
        with echodeck.Client(addresses[0], patience=patience) as deck:
            deck.check_ready()
    except (echodeck.Unreachable, ValueError) as reason:
        fail(escape(str(reason)), REFUSED)
    except echodeck.Refused as reason:
        fail(escape(reason.detail), REFUSED)
    typer.echo("ready")
