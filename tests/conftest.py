from __future__ import annotations

import asyncio
import inspect
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
from fastapi import FastAPI

from app.clock import Clock
from app.history.store import Store
from app.program.app import create_app
from app.settings import Settings
from app.supervising.listening import Policy
from app.supervising.server import Server
from app.supervising.spec import ServerSpec
from app.supervising.supervisor import Supervisor
from servers import Variant, Wire, discover

pytest_plugins = [
    "tests.browsing",
    "tests.browser_clients",
    "tests.browser_terminals",
    "tests.fleets",
    "tests.labs",
    "tests.proxied",
]

VARIANTS = discover()

# nohup and shells have these ignored in the background, and what tests start would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

Start = Callable[..., Awaitable[Server]]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """What a worker tells of a test is text that every encoding takes, whatever the test has had logged."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


# A machine that is busy with other tests is no fault of the one that is slow there.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


# httpx gives an answer five seconds, unless it is told otherwise.
for part in ("connect", "read", "write", "pool"):
    setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, part, 60.0)


NOT_THE_CALLERS = (
    "ECHODECK_",
    "ETCD_",
    "PYTEST_",
    "MAKE",
    "MFLAGS",
    "NO_COLOR",
    "FORCE_COLOR",
    "PY_COLORS",
    "COLUMNS",
    "LINES",
)


@pytest.fixture(scope="session", autouse=True)
def callers_environment() -> Iterator[None]:
    """Programs that tests start have nothing of what whoever started pytest has set for this or for other programs."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(NOT_THE_CALLERS)]:
            if name not in ("PYTEST_CURRENT_TEST", "PYTEST_VERSION"):  # pytest takes them away itself
                patch.delenv(name)
        direct = ("localhost", "127.0.0.1", "::1", *filter(None, [os.environ.get("no_proxy", "")]))
        patch.setenv("no_proxy", ",".join(direct))
        yield


class HandClock(Clock):
    """Stands still until it is turned."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self.time

    def wall(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.time + seconds, woken))
        await woken

    def turn(self, seconds: float) -> None:
        self.time += seconds
        for due, woken in self.sleepers:
            if due <= self.time and not woken.done():
                woken.set_result(None)
        self.sleepers = [(due, woken) for due, woken in self.sleepers if not woken.done()]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def supervisor(request: pytest.FixtureRequest) -> AsyncIterator[Supervisor]:
    """A supervisor of all variants on the test's loop; an indirect parameter passes it other arguments."""
    arguments: dict[str, Any] = {
        "variants": VARIANTS,
        "policy": Policy(range(1024, 65536), False),
        "store": Store(None),
    }
    if "clock" in request.fixturenames:
        arguments["clock"] = request.getfixturevalue("clock")
    made = Supervisor(**arguments | getattr(request, "param", {}))
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def start(supervisor: Supervisor) -> Start:
    async def start(variant: str, port: int = 0, **settings: Any) -> Server:
        return await supervisor.create(ServerSpec(variant=variant, port=port, **settings))

    return start


@pytest.fixture
def settings() -> Settings:
    return Settings(state=":memory:")


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    made = create_app(settings)
    async with made.router.lifespan_context(made):
        yield made


@pytest.fixture
async def api(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """REST without a network; an exception in the app would come out of the call."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8000") as client:
        yield client


def made_up(serve: Any, file: str = __file__) -> Variant:
    """A variant that no file declares; ``file`` is where its functions are."""
    runs_on: Any = "loop" if inspect.iscoroutinefunction(serve) else "thread"
    return Variant("made-up", None, "", "", runs_on, Wire(), serve, Path(file))


@pytest.fixture
def watched(app: FastAPI) -> Supervisor:
    """The supervisor behind ``api``."""
    found: Supervisor = app.state.supervisor
    return found


@pytest.fixture
def begin(watched: Supervisor) -> Start:
    """As ``start``, behind ``api``; takes a function in the place of a variant's name, too."""

    async def begin(variant: Any, port: int = 0, **settings: Any) -> Server:
        if not isinstance(variant, str):
            made = made_up(variant, variant.__code__.co_filename)
            watched.variants = {**watched.variants, made.name: made}
            variant = made.name
        return await watched.create(ServerSpec(variant=variant, port=port, **settings))

    return begin


ECHODECK = Path(sys.executable).with_name("echodeck")


class Program:
    """``echodeck serve`` in a process of its own."""

    def __init__(self, *options: str, command: Sequence[str | Path] = (ECHODECK,), **environment: str) -> None:
        self.process = subprocess.Popen(
            [*command, "serve", "--port", "0", *options],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self._output = ""
        self._waited_for = 0
        while not (found := re.search(r"http://\S+:(\d+)/\n", self._output)):
            line = self.process.stdout.readline()
            self._output += line
            if not line:
                raise AssertionError(self.end())
        self.url = found.group().rstrip("/\n")
        self.port = int(found.group(1))

    def wait_for(self, words: str) -> None:
        """Wait until it has printed the words, after those that were waited for before."""
        assert self.process.stdout is not None
        while (found := self._output.find(words, self._waited_for)) < 0:
            line = self.process.stdout.readline()
            assert line, f"it ended without printing {words!r}"
            self._output += line
        self._waited_for = found + len(words)

    def signal(self, sig: signal.Signals) -> None:
        self.process.send_signal(sig)

    def wait(self, seconds: float = 60) -> int:
        return self.process.wait(seconds)

    def ended(self) -> str:
        """The code that it ended with, and what it printed."""
        return f"{self.process.wait(0)}, after printing\n{self.end()}"

    def end(self) -> str:
        """Kill it if it still runs; returns its output."""
        self.process.kill()
        if self.process.stdout is not None and not self.process.stdout.closed:
            self._output += self.process.communicate()[0]
        return self._output


@pytest.fixture
def program() -> Iterator[Callable[..., Program]]:
    """Starts programs that end with the test."""
    programs: list[Program] = []

    def start(*options: str, **more: Any) -> Program:
        if "--state" not in options:
            options = ("--state", ":memory:", *options)
        programs.append(Program(*options, **more))
        return programs[-1]

    yield start
    for one in programs:
        one.end()
