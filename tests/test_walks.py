"""Random walks over REST with real clients; their model is the lifecycle's own table."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.supervising.lifecycle import AT_REST, Event, State, after
from servers import Variant
from tests.conftest import VARIANTS, Program
from tests.helpers import PATIENCE


@dataclass
class Known:
    """A server as the model has it; it is never restarted by policy. ``inside`` are clients that it has accepted, and
    ``queue`` those that it has not."""

    variant: Variant
    port: int
    state: State = State.STOPPED
    total: int = 0
    inside: list[socket.socket] = field(default_factory=list)
    queue: list[socket.socket] = field(default_factory=list)

    def happens(self, *events: Event) -> None:
        for event in events:
            self.state = after(self.state, event)

    def lets_in(self) -> None:
        """What it does about those in its queue, by what its variant declares."""
        wire = self.variant.wire
        while self.state is State.RUNNING and self.queue and (wire.clients == "all at once" or not self.inside):
            self.inside.append(self.queue.pop(0))
            self.total += 1
            if wire.answers == "nothing":
                self.ends()

    def ends(self) -> None:
        self.happens(Event.RETURNED)
        self.closes_all()

    def closes_all(self) -> None:
        for client in self.inside + self.queue:
            client.close()
        self.inside, self.queue = [], []


PICK = st.integers(0, 1000)
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "backlog": st.integers(50, 500),
        "recv_size": st.integers(1, 100_000),
        "nodelay": st.booleans(),
        "max_buffer": st.integers(1000, 100_000),
        "max_rate": st.none() | st.integers(1_000_000, 2_000_000_000),
        "idle_timeout": st.none() | st.integers(600, 6000).map(float),
    },
)


class Walk(RuleBasedStateMachine):
    api: httpx.Client

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, Known] = {}
        self.made = 0

    def one(self, pick: int) -> tuple[str, Known]:
        return list(self.known.items())[pick % len(self.known)]

    def call(self, method: str, path: str, *codes: int, **more: Any) -> httpx.Response:
        answer = self.api.request(method, path, **more)
        assert answer.status_code in codes, (method, path, answer.text)
        return answer

    @initialize()
    def nothing_is_there(self) -> None:
        assert self.api.get("/servers").json()["items"] == []

    @rule(variant=st.sampled_from(sorted(VARIANTS)), start=st.booleans(), limits=LIMITS)
    def create(self, variant: str, start: bool, limits: dict[str, Any]) -> None:
        self.made += 1
        name = f"s{self.made}"
        body = {"variant": variant, "port": 0, "name": name, "start": start, "restart": "never"} | limits
        answer = self.call("POST", "/servers", 201, json=body).json()
        one = self.known[name] = Known(VARIANTS[variant], answer["port"])
        if start:
            one.happens(Event.START, Event.LISTENING)

    @precondition(lambda self: self.known)
    @rule(pick=PICK)
    def start(self, pick: int) -> None:
        name, one = self.one(pick)
        answer = self.call("POST", f"/servers/{name}/start", 200, 409)
        if one.state is not State.RUNNING:
            one.happens(Event.START, Event.LISTENING if answer.status_code == 200 else Event.REFUSED)

    @precondition(lambda self: self.known)
    @rule(pick=PICK)
    def stop(self, pick: int) -> None:
        name, one = self.one(pick)
        self.call("POST", f"/servers/{name}/stop", 200)
        if one.state is State.RUNNING:
            one.happens(Event.STOP, Event.ENDED)
        elif one.state is not State.STOPPED:
            one.happens(Event.STOP)
        one.closes_all()

    @precondition(lambda self: self.known)
    @rule(pick=PICK)
    def restart(self, pick: int) -> None:
        name, one = self.one(pick)
        answer = self.call("POST", f"/servers/{name}/restart", 200, 409)
        if one.state is State.RUNNING:
            one.happens(Event.STOP, Event.ENDED)
        elif one.state is not State.STOPPED:
            one.happens(Event.STOP)
        one.closes_all()
        one.happens(Event.START, Event.LISTENING if answer.status_code == 200 else Event.REFUSED)

    @precondition(lambda self: self.known)
    @rule(pick=PICK)
    def remove(self, pick: int) -> None:
        name, one = self.one(pick)
        self.call("DELETE", f"/servers/{name}", 204)
        self.call("GET", f"/servers/{name}", 404)
        one.closes_all()
        del self.known[name]

    @precondition(lambda self: self.known)
    @rule(pick=PICK, limits=LIMITS)
    def change(self, pick: int, limits: dict[str, Any]) -> None:
        name, _ = self.one(pick)
        answer = self.call("PATCH", f"/servers/{name}", 200, json=limits).json()
        assert {field: answer["spec"][field] for field in limits} == limits

    @precondition(lambda self: self.known)
    @rule(pick=PICK, variant=st.sampled_from(sorted(VARIANTS)))
    def become_another(self, pick: int, variant: str) -> None:
        name, one = self.one(pick)
        rests = one.state in AT_REST or variant == one.variant.name
        self.call("PATCH", f"/servers/{name}", 200 if rests else 409, json={"variant": variant})
        if rests:
            one.variant = VARIANTS[variant]

    @precondition(lambda self: any(one.state is State.RUNNING for one in self.known.values()))
    @rule(pick=PICK)
    def come(self, pick: int) -> None:
        running = [one for one in self.known.values() if one.state is State.RUNNING]
        one = running[pick % len(running)]
        if len(one.queue) < 5:
            one.queue.append(socket.create_connection(("127.0.0.1", one.port), timeout=PATIENCE))
            one.lets_in()

    @precondition(lambda self: any(one.inside for one in self.known.values()))
    @rule(pick=PICK, text=st.binary(min_size=1, max_size=200).filter(lambda text: b"quit\n" not in text))
    def say(self, pick: int, text: bytes) -> None:
        one = self.with_somebody_inside(pick)
        wire = one.variant.wire
        if wire.answers != "each chunk" or (wire.boom and text == b"boom\n"):
            return
        client = one.inside[pick % len(one.inside)]
        client.sendall(text)
        heard = b""
        while heard.replace(wire.prefix, b"") != text:
            data = client.recv(65536)
            assert data, (one.variant.name, text, heard)
            heard += data

    @precondition(lambda self: any(one.inside for one in self.known.values()))
    @rule(pick=PICK)
    def leave(self, pick: int) -> None:
        one = self.with_somebody_inside(pick)
        one.inside.pop(pick % len(one.inside)).close()
        if one.variant.wire.clients == "one in all":
            one.ends()
        one.lets_in()

    def with_somebody_inside(self, pick: int) -> Known:
        found = [one for one in self.known.values() if one.inside]
        return found[pick % len(found)]

    @invariant()
    def the_app_says_the_same(self) -> None:
        def said() -> dict[str, tuple[str, int, int, int]]:
            items = self.api.get("/servers").json()["items"]
            counts = {one["name"]: one["connections"] for one in items}
            return {
                one["name"]: (one["state"], *(counts[one["name"]][what] for what in ("open", "waiting", "total")))
                for one in items
            }

        meant = {
            name: (one.state.value, len(one.inside), len(one.queue), one.total) for name, one in self.known.items()
        }
        deadline = time.monotonic() + PATIENCE
        while (found := said()) != meant:
            assert time.monotonic() < deadline, {
                name: (found.get(name), meant[name]) for name in meant if found.get(name) != meant[name]
            }

    def teardown(self) -> None:
        for name, one in self.known.items():
            one.closes_all()
            with suppress(httpx.HTTPError):
                self.api.delete(f"/servers/{name}")


@pytest.mark.parametrize("walks", [30, pytest.param(150, marks=pytest.mark.slow)])
def test_the_app_does_what_its_table_says(walks: int) -> None:
    program = Program("--state", ":memory:")
    try:
        with httpx.Client(base_url=program.url, timeout=20) as Walk.api:
            run_state_machine_as_test(  # type: ignore[no-untyped-call]
                Walk,
                settings=settings(
                    max_examples=walks, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
                ),
            )
    finally:
        output = program.end()
    assert "Traceback" not in output
