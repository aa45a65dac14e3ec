"""The engine of a fleet as tests start it: a real etcd of some members, and a proxy to cut somebody off from it."""

from __future__ import annotations

import itertools
import json
import os
import selectors
import shutil
import socket
import subprocess
import threading
import time
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from app.kernel.ports import free_ports
from tests.conftest import ECHODECK

BIN = Path(ECHODECK).parent
PATIENCE = 30.0


def etcd_binary() -> str:
    found = shutil.which("etcd", path=f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}")
    assert found, "there is no etcd; `make tools` brings it"
    return found


def until(holds: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    end = time.monotonic() + patience
    while True:
        with suppress(httpx.HTTPError):
            if holds():
                return
        assert time.monotonic() < end, f"not in time: {what}"
        time.sleep(0.05)


class Etcd:
    """An engine of some members, each of which can be killed and started again."""

    def __init__(self, folder: Path, members: int = 1, **options: str) -> None:
        self.folder = folder
        self.options = options
        self._ports = [(free_ports(1)[0], free_ports(1)[0]) for _ in range(members)]
        self.urls = [f"http://127.0.0.1:{client}" for client, _ in self._ports]
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * members
        for number in range(members):
            self.start(number)
        until(self.answers, "the engine answers")

    def answers(self) -> bool:
        return any(
            httpx.post(url + "/v3/kv/range", json={"key": "eA=="}, timeout=2).status_code == 200 for url in self.urls
        )

    def start(self, number: int) -> None:
        client, peer = self._ports[number]
        cluster = ",".join(f"m{one}=http://127.0.0.1:{port}" for one, (_, port) in enumerate(self._ports))
        options = {
            "name": f"m{number}",
            "data-dir": str(self.data(number)),
            "listen-client-urls": f"http://127.0.0.1:{client}",
            "advertise-client-urls": f"http://127.0.0.1:{client}",
            "listen-peer-urls": f"http://127.0.0.1:{peer}",
            "initial-advertise-peer-urls": f"http://127.0.0.1:{peer}",
            "initial-cluster": cluster,
            "initial-cluster-token": self.folder.name,
            "logger": "zap",
            "log-level": "error",
            **{name.replace("_", "-"): value for name, value in self.options.items()},
        }
        with (self.folder / f"m{number}.log").open("ab") as log:
            self._processes[number] = subprocess.Popen(
                [etcd_binary(), *(f"--{name}={value}" for name, value in options.items())],
                stdout=log,
                stderr=log,
            )

    def kill(self, number: int) -> None:
        process = self._processes[number]
        assert process is not None
        process.kill()
        process.wait()
        self._processes[number] = None

    def data(self, number: int) -> Path:
        return self.folder / f"m{number}"

    def call(self, path: str, **body: Any) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.post(self.urls[0] + path, json=body, timeout=PATIENCE).json()
        return answer

    def leader(self) -> int:
        for number, url in enumerate(self.urls):
            if self._processes[number] is None:
                continue
            with suppress(httpx.HTTPError):
                answer = httpx.post(url + "/v3/maintenance/status", json={}, timeout=2).json()
                if answer.get("leader") == answer["header"]["member_id"]:
                    return number
        raise AssertionError("the engine has no leader")

    def close(self) -> None:
        for number, process in enumerate(self._processes):
            if process is not None:
                self.kill(number)

    def had(self) -> dict[str, list[int]]:
        """By server, the numbers of the nodes that had it, in order: by its claims, or pinned to them."""
        last = "/echodeck/v10"  # the first key after those of the nodes
        answer = httpx.post(f"{self.urls[0]}/v3/kv/put", json={"key": _b64(last)}, timeout=PATIENCE).raise_for_status()
        now = answer.json()["header"]["revision"]
        first = {"key": _b64("/echodeck/v1/"), "range_end": _b64(f"{last}/"), "start_revision": 1}
        found: dict[str, list[int]] = defaultdict(list)
        with httpx.stream(
            "POST", f"{self.urls[0]}/v3/watch", json={"create_request": first}, timeout=PATIENCE, trust_env=False
        ) as history:
            for line in history.iter_lines():
                for event in json.loads(line)["result"].get("events", []):
                    key = b64decode(event["kv"]["key"]).decode()
                    if key == last:
                        if event["kv"]["mod_revision"] == now:
                            return found
                        continue
                    kind, _, name = key.removeprefix("/echodeck/v1/").partition("/")
                    value = json.loads(b64decode(event["kv"].get("value", "")) or "{}")
                    node = value.get({"claims": "node", "servers": "on"}.get(kind, ""))
                    if node and found[name][-1:] != [int(node[1:])]:
                        found[name].append(int(node[1:]))
        raise AssertionError("the history has no end")

    @contextmanager
    def written_to(self) -> Iterator[list[float]]:
        """Yields the times (by the monotonic clock) at which a write was answered; somebody writes all the time."""
        times: list[float] = []
        ended = threading.Event()

        def write() -> None:
            with httpx.Client(timeout=0.3, trust_env=False) as http:
                for url in itertools.cycle(self.urls):
                    if ended.wait(0.02):
                        return
                    with suppress(httpx.HTTPError):
                        if http.post(url + "/v3/kv/put", json={"key": "eA==", "value": "eA=="}).status_code == 200:
                            times.append(time.monotonic())

        writing = threading.Thread(target=write)
        writing.start()
        try:
            yield times
        finally:
            ended.set()
            writing.join()


def _b64(text: str) -> str:
    return b64encode(text.encode()).decode()


class Cut:
    """A TCP proxy before a member: it can be cut (connections end) or swallow (nothing comes through any more)."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._target = (host, int(port))
        self.mode = "through"
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._door.getsockname()[1]}"
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._ended = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while not self._ended:
            try:
                here, _ = self._door.accept()
            except OSError:
                return
            if self.mode == "cut":
                here.close()
                continue
            try:
                there = socket.create_connection(self._target)
            except ConnectionRefusedError:  # the member is killed
                here.close()
                continue
            self._pairs.append((here, there))
            threading.Thread(target=self._carry, args=(here, there), daemon=True).start()

    def _carry(self, here: socket.socket, there: socket.socket) -> None:
        with selectors.DefaultSelector() as ready, suppress(OSError, ValueError):
            ready.register(here, selectors.EVENT_READ, there)
            ready.register(there, selectors.EVENT_READ, here)
            while True:
                for key, _ in ready.select(1):
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data:
                        return self._end(here, there)
                    if self.mode == "through":
                        key.data.sendall(data)
        self._end(here, there)
        return None

    def _end(self, *ends: socket.socket) -> None:
        for one in ends:
            one.close()

    def cut(self) -> None:
        self.mode = "cut"
        for pair in self._pairs:
            for one in pair:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        self._pairs.clear()

    def swallow(self) -> None:
        self.mode = "swallow"

    def heal(self) -> None:
        if self.mode == "swallow":  # what it has swallowed is lost
            self.cut()
        self.mode = "through"

    def close(self) -> None:
        self._ended = True
        self._door.close()
        self.cut()
