"""A fleet as tests start it: nodes on 127.0.0.1 and its neighbours, around a real etcd."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import pytest

from app.kernel.ports import free_ports
from tests.commanding import SLOW, environment
from tests.conftest import ECHODECK
from tests.engines import Cut, Etcd, until


class Node:
    def __init__(
        self,
        number: int,
        urls: Sequence[str],
        port: int,
        folder: Path,
        *options: str,
        command: Sequence[str | Path] = (ECHODECK,),
        **more: str,
    ) -> None:
        self.name = f"n{number}"
        self.host = f"127.0.0.{number}"
        self.url = f"http://{self.host}:{port}"
        self.log = folder / f"{self.name}.log"
        self._command = [
            *command, "serve", "--fleet", ",".join(urls), "--node", self.name, "--host", self.host, "--port", str(port),
            "--serve-on", self.host, "--state", str(folder / f"{self.name}.state"), *options,
        ]  # fmt: skip
        self._environment = environment("", **more)
        token = more.get("ECHODECK_TOKEN")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self.http = httpx.Client(base_url=self.url, timeout=60, trust_env=False, headers=headers)
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._environment)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def signal(self, what: signal.Signals) -> None:
        os.kill(self.pid, what)

    def close(self) -> None:
        self.kill()
        self.http.close()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def end(self) -> int:
        """Its exit code, after SIGTERM."""
        assert self.process is not None
        self.signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        self.process = None
        return code

    def ready(self) -> bool:
        return self.http.get("/readyz").status_code == 200

    def nodes(self) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self.http.get("/nodes").json()["items"]}

    def servers(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        after: dict[str, str] = {}
        while True:
            page = self.http.get("/servers", params=after).json()
            found |= {one["name"]: one for one in page["items"]}
            if page["next"] is None:
                return found
            after = {"after": page["next"]}

    def make(self, name: str, variant: str = "asyncio", port: int = 0, **fields: Any) -> dict[str, Any]:
        response = self.http.post(
            "/servers", json={"variant": variant, "name": name, "port": port, "host": "node", **fields}
        )
        assert response.status_code == 201, response.text
        made: dict[str, Any] = response.json()
        return made


class Fleet:
    def __init__(
        self,
        folder: Path,
        nodes: int = 3,
        members: int = 1,
        *options: str,
        cut: Sequence[int] = (),
        etcd: Mapping[str, str] = MappingProxyType({}),
        **more: str,
    ) -> None:
        self.etcd = Etcd(folder, members, **etcd)
        self.port = free_ports(1)[0]
        self.cuts = {number: [Cut(url) for url in self.etcd.urls] for number in cut}
        self.nodes = {
            number: Node(
                number,
                [one.url for one in self.cuts[number]] if number in self.cuts else self.etcd.urls,
                self.port,
                folder,
                *options,
                **more,
            )
            for number in range(1, nodes + 1)
        }
        try:
            for node in self.nodes.values():
                until(node.ready, f"{node.name} is ready", SLOW)
            until(lambda: len(self[1].nodes()) == nodes, "all know each other")
        except BaseException:
            self.close()
            raise

    def __getitem__(self, number: int) -> Node:
        return self.nodes[number]

    def named(self, name: str | None) -> Node:
        return next(node for node in self.nodes.values() if node.name == name)

    def all_run(self, but: Sequence[str] = (), count: int | None = None) -> bool:
        node = next(one for one in self.nodes.values() if one.name not in but and one.process is not None)
        servers = node.servers()
        return (count is None or len(servers) == count) and all(
            one["state"] == "running" and one["node"] not in (None, *but) for one in servers.values()
        )

    def restore(self) -> None:
        """All nodes run and are ready, and have no server and no exception."""
        for node in self.nodes.values():
            if node.process is None:
                node.start()
            node.signal(signal.SIGCONT)
        for cuts in self.cuts.values():
            for one in cuts:
                one.heal()
        for node in self.nodes.values():
            until(node.ready, f"{node.name} is ready", SLOW)
            until(
                lambda node=node: self[1].nodes()[node.name]["state"] in ("ready", "draining"), f"{node.name} is known"
            )
            self[1].http.post(f"/nodes/{node.name}/resume").raise_for_status()
        for name in self[1].servers():
            self[1].http.delete(f"/servers/{name}").raise_for_status()
        self[1].http.delete("/exceptions").raise_for_status()

    def close(self) -> None:
        for node in self.nodes.values():
            if node.process is not None:
                with suppress(ProcessLookupError):
                    node.signal(signal.SIGCONT)
            node.close()
        for cuts in self.cuts.values():
            for one in cuts:
                one.close()
        self.etcd.close()


@contextmanager
def fleet(folder: Path, *arguments: Any, **options: Any) -> Iterator[Fleet]:
    made = Fleet(folder, *arguments, **options)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with fleet(tmp_path_factory.mktemp("fleet"), 3, 1, "--rebalance", "off") as made:
        yield made


@pytest.fixture
def three(three_nodes: Fleet) -> Iterator[Fleet]:
    """One fleet for all tests of a file, whose nodes are ready and have no server at first."""
    yield three_nodes
    three_nodes.restore()


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")
