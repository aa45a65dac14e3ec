"""Real echo servers for the tests of a TCP client or a proxy.

    def test_my_client(echo_server):
        assert my_client.talk(echo_server.address, b"hello") == b"hello"
        assert echo_server.exceptions() == []

    @pytest.mark.echo_server("blocking", backlog=2)
    def test_my_client_when_it_must_wait(echo_server): ...

All servers of a session are in one app, ``echodeck_app``, in a process of its own: a test that blocks does not block
its server. A server ends with its test, and so do its open connections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # otherwise it would slow down each run of pytest, even without servers
    import echodeck


@pytest.fixture(scope="session")
def echodeck_app() -> Iterator[echodeck.Client]:
    """A client of the app that has the servers of all tests."""
    import echodeck

    with echodeck.running() as deck:
        yield deck


@pytest.fixture
def echo_servers(echodeck_app: echodeck.Client) -> Iterator[Callable[..., echodeck.EchoServer]]:
    """``echo_servers("asyncio", idle_timeout=5)`` makes one more server; the fields are those of ``POST /servers``."""
    with ExitStack() as made:
        import echodeck

        def make(variant: str = "asyncio", **spec: Any) -> echodeck.EchoServer:
            server = echodeck.EchoServer(echodeck_app, variant, **spec)
            made.callback(_remove, echodeck_app, server.name)
            return server

        yield make


@pytest.fixture
def echo_server(
    request: pytest.FixtureRequest, echo_servers: Callable[..., echodeck.EchoServer]
) -> echodeck.EchoServer:
    """One server, ``asyncio`` unless the test is marked with ``echo_server(variant, **spec)``."""
    mark = request.node.get_closest_marker("echo_server")
    return echo_servers(*mark.args, **mark.kwargs) if mark else echo_servers()


def _remove(deck: echodeck.Client, name: str) -> None:
    import echodeck

    try:
        deck.remove(name)
    except echodeck.Unreachable:  # the app has ended, and its servers with it
        pass
    except echodeck.Refused as reason:
        if reason.status != 404:  # the test may have removed it
            raise


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "echo_server(variant, **spec): the server of the fixture echo_server")
