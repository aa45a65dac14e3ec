"""Somebody who looks at a server's calls over HTTP."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx

import echodeck
from tests.helpers import PATIENCE


class Looking:
    """Collects what is told, on a thread of its own, until the stream ends."""

    def __init__(self, deck: echodeck.Client, name: str) -> None:
        self.begun: dict[str, Any] = {}
        self.calls: dict[int, dict[str, Any]] = {}
        self.told: list[dict[str, Any]] = []
        self.beats: list[dict[str, Any]] = []
        self.end: str | None = None
        self._began = threading.Event()
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._read, args=(f"{deck.url}/servers/{name}/calls",), daemon=True)
        self._thread.start()
        assert self._began.wait(PATIENCE), "it does not begin"

    def _read(self, url: str) -> None:
        event = ""
        with suppress(httpx.HTTPError), httpx.stream("GET", url, timeout=60) as answer:
            self._socket = answer.extensions["network_stream"].get_extra_info("socket")
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    event = line[7:]
                elif line.startswith("data: "):
                    self._hear(event, json.loads(line[6:]))

    def _hear(self, event: str, data: dict[str, Any]) -> None:
        if event == "begin":
            self.begun = data
        elif event == "calls":
            self.beats.append(data)
            self.told += data["calls"]
            self.calls |= {one["n"]: one for one in data["calls"]}
        elif event == "end":
            self.end = data["reason"]
        self._began.set()

    def of(self, call: str, **fields: Any) -> list[dict[str, Any]]:
        """The calls of this name, as they were told last; of those with these values."""
        found = [one for one in list(self.calls.values()) if one["call"] == call]
        return [one for one in found if all(one[key] == value for key, value in fields.items())]

    def count(self, on: str) -> Counter[tuple[str, Any]]:
        """How often what was called, with which outcome."""
        found: Counter[tuple[str, Any]] = Counter()
        for one in list(self.calls.values()):
            if one["on"] == on:
                found[one["call"], one["errno"] or one["result"]] += one["times"]
        return found

    def until(self, holds: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, f"{what}; told {self.told[-20:]}"
            time.sleep(0.02)

    def ended(self) -> str | None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "it does not end"
        return self.end

    def close(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # ended
                self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
