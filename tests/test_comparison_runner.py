"""How far a comparison is, and how it ends: with servers and clients that go on when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from app.errors import NotPlayed, RecordersBusy
from app.glass import comparison_runner
from app.glass.comparison_runner import AT_ONCE, MOST_FAILED, ComparisonRunner
from app.glass.players import Player
from app.hosting.server_host import HostedServer, HostFailed
from app.recordings.recording import Recording
from app.recordings.script import Script, parse
from tests.helpers import until

if TYPE_CHECKING:
    from app.glass.shelf import Shelf

SCRIPT = parse('[[client]]\nname = "ann"\ndoes = ["connect", "wait 2", "leave"]\n')
HEAD = {"monotonic": 0.0, "connections": {}}


class Shelved:
    def __init__(self) -> None:
        self.kept: list[Recording] = []
        self._last = 0

    def next_id(self) -> tuple[int, str]:
        self._last += 1
        return self._last, str(self._last)

    async def keep(self, *recordings: Recording) -> None:
        self.kept += recordings


class Gates:
    """``open`` lets a variant's server start, then its clients end; ``fails`` makes the server host fail."""

    def __init__(self) -> None:
        self.fails = False
        self._gates: dict[tuple[str, str], asyncio.Event] = {}

    def of(self, what: str, variant: str) -> asyncio.Event:
        return self._gates.setdefault((what, variant), asyncio.Event())

    def open(self, what: str, *variants: str) -> None:
        for variant in variants:
            self.of(what, variant).set()


class Host:
    """Of one server; the variant is its address, so that its clients know it."""

    def __init__(self, gates: Gates) -> None:
        self._gates = gates

    async def start(self, spec: dict[str, Any]) -> HostedServer:
        await self._gates.of("server", spec["variant"]).wait()
        if self._gates.fails:
            raise HostFailed("the server host has ended with 1")
        return HostedServer(spec["name"], spec["variant"], 1)

    async def begin_trace(self, name: str) -> None:
        pass

    async def end_trace(self, name: str) -> tuple[dict[str, Any], bytes]:
        return HEAD, b"x"


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch) -> Gates:
    made = Gates()

    @asynccontextmanager
    async def host(loop: str) -> AsyncIterator[Host]:
        yield Host(made)

    async def play(script: Script, address: tuple[str, int], began: float) -> list[Player]:
        await made.of("clients", address[0]).wait()
        return []

    monkeypatch.setattr(comparison_runner, "subprocess_host", host)
    monkeypatch.setattr(comparison_runner, "play", play)
    monkeypatch.setattr(comparison_runner, "TRAIL", 0.0)
    return made


Make = Callable[[], tuple[ComparisonRunner, Shelved]]


@pytest.fixture
def make(gates: Gates) -> Make:
    def made() -> tuple[ComparisonRunner, Shelved]:
        shelf = Shelved()
        return ComparisonRunner(cast("Shelf", shelf), "asyncio"), shelf

    return made


async def test_each_variant_has_its_own_stage(make: Make, gates: Gates) -> None:
    runner, shelf = make()
    pending = runner.begin(SCRIPT, ["blocking", "asyncio"])
    stages = pending.stages

    async def reaches(blocking: str, asyncio: str) -> None:
        await until(lambda: stages == {"blocking": blocking, "asyncio": asyncio}, f"{blocking}, {asyncio}")

    assert stages == {"blocking": "queued", "asyncio": "queued"}
    await reaches("preparing", "preparing")
    gates.open("server", "asyncio")
    await reaches("preparing", "prepared")
    assert pending.seconds_played == 0
    gates.open("server", "blocking")
    await reaches("playing", "playing")
    gates.open("clients", "blocking")
    await reaches("done", "playing")
    await until(lambda: 0 < pending.seconds_played <= 2, "the script's time goes on")
    assert runner.pending(pending.id) is pending
    gates.open("clients", "asyncio")
    await until(lambda: runner.pending(pending.id) is None, "it is made")
    assert [one.id for one in shelf.kept] == ["1", "2"]
    assert [one.head["comparison"]["id"] for one in shelf.kept] == [pending.id] * 2


async def test_the_next_is_queued_and_too_many_are_refused(make: Make, gates: Gates) -> None:
    runner, _ = make()
    first, *others = [runner.begin(SCRIPT, ["asyncio"]) for _ in range(AT_ONCE)]
    await until(lambda: first.stages["asyncio"] == "preparing", "the first is made")
    assert [one.stages["asyncio"] for one in others] == ["queued"] * len(others)
    with pytest.raises(RecordersBusy):
        runner.begin(SCRIPT, ["asyncio"])
    gates.open("server", "asyncio")
    gates.open("clients", "asyncio")
    await until(lambda: not any(runner.pending(one.id) for one in [first, *others]), "all are made")
    await runner.close()


async def test_why_it_failed_can_be_read_for_a_while(make: Make, gates: Gates) -> None:
    runner, _ = make()
    gates.fails = True
    gates.open("server", "asyncio")
    pending = runner.begin(SCRIPT, ["asyncio"])
    await until(lambda: pending.failure, "it fails")
    assert isinstance(pending.failure, NotPlayed)
    assert runner.pending(pending.id) is pending
    for _ in range(MOST_FAILED):
        with pytest.raises(NotPlayed):
            await runner.compare(SCRIPT, ["asyncio"])
    await until(lambda: runner.pending(pending.id) is None, "it is forgotten")


async def test_closing_cancels_what_is_being_made(make: Make) -> None:
    runner, shelf = make()
    pending = runner.begin(SCRIPT, ["asyncio"])
    await until(lambda: pending.stages["asyncio"] == "preparing", "it is made")
    await runner.close()
    assert runner.pending(pending.id) is None
    assert shelf.kept == []
