"""What is measured: servers in an app of their own, in this one, or a foreign one."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import httpx

import echodeck
from app.experiments.experiment import ADDRESS
from app.supervising.spec import ServerSpec
from app.supervising.supervisor import Supervisor
from servers import Variant

SECONDS_TO_START, SECONDS_TO_END = 20.0, 3.0
BACKLOG = 4096
PROGRAM = Path(str(echodeck.__file__))


class NotMeasured(Exception):
    """A trial cannot be; the message says why."""


@dataclass(frozen=True)
class Target:
    """Where a trial's clients go. ``pid`` is the process whose processor time is the server's."""

    host: str
    port: int
    pid: int | None
    ending: Literal["\n", "quit\n"] = "\n"
    prefix: str = ""
    hangs_up: bool = False
    one_at_a_time: bool = False


class House(Protocol):
    """Where servers of variants are started for a trial."""

    pid: int

    async def start(self, spec: Mapping[str, Any]) -> tuple[str, str, int]:
        """Its name, host and port."""

    async def stop(self, name: str) -> None: ...

    async def lag(self) -> float | None:
        """How late the loop came, in ms at p99, of the last seconds."""


def spec_of(variant: Variant, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"variant": variant.name, "port": 0, "backlog": BACKLOG, "restart": "never", **settings}


def target(variant: Variant, host: str, port: int, pid: int) -> Target:
    wire = variant.wire
    ending: Literal["\n", "quit\n"] = "quit\n" if wire.answers == "until quit" else "\n"
    return Target(host, port, pid, ending, wire.prefix.decode(), wire.hangs_up, wire.clients == "one at a time")


def foreign(address: str) -> Target:
    found = ADDRESS.fullmatch(address)
    assert found
    return Target(found["host"].strip("[]"), int(found["port"]), None)


def resident(pid: int) -> int | None:
    """Bytes of a process's memory that are in the machine's."""
    with suppress(OSError, ValueError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


class Here:
    """This app's own loop: what neighbours do to each other."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.pid = os.getpid()
        self._supervisor = supervisor

    async def start(self, spec: Mapping[str, Any]) -> tuple[str, str, int]:
        name = f"lab-{secrets.token_hex(3)}"
        server = await self._supervisor.create(
            ServerSpec(**{**spec, "name": name, "on": self._supervisor.node or None})
        )
        return name, server.host, server.spec.port

    async def stop(self, name: str) -> None:
        with suppress(Exception):  # somebody may have removed it
            await self._supervisor.remove(name)

    async def lag(self) -> float | None:
        return self._supervisor.sampler.lag().p99


class Apart:
    """An app in a process of its own, which ends with this one."""

    def __init__(self, process: asyncio.subprocess.Process, http: httpx.AsyncClient, url: str) -> None:
        self.pid = process.pid
        self.url = url
        self._process = process
        self._http = http

    async def start(self, spec: Mapping[str, Any]) -> tuple[str, str, int]:
        made = await self._ask("POST", "/servers", json=dict(spec))
        return made["name"], made["host"], made["port"]

    async def stop(self, name: str) -> None:
        await self._ask("DELETE", f"/servers/{name}")

    async def lag(self) -> float | None:
        return float((await self._ask("GET", "/loop"))["lag_ms"]["p99"])

    async def _ask(self, method: str, path: str, **more: Any) -> Any:
        try:
            answer = await self._http.request(method, path, **more)
        except httpx.HTTPError as reason:
            code = self._process.returncode
            ended = f"it has ended with {code}" if code is not None else f"it does not answer ({type(reason).__name__})"
            raise NotMeasured(f"the app that was started for this: {ended}") from reason
        if not answer.is_success:
            raise NotMeasured(f"the server could not be started: {answer.json().get('detail', answer.status_code)}")
        return answer.json() if answer.content else None


@asynccontextmanager
async def apart(loop: str, program: Path = PROGRAM) -> AsyncIterator[Apart]:
    """``program`` is the script that starts it: this version's, or that of another one.

    Raises:
        NotMeasured: it did not start.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(program), "serve", "--port", "0", "--state", ":memory:", "--json", "--quiet"),
        *("--loop", loop, "--ends-with", str(os.getpid())),
        env={name: value for name, value in os.environ.items() if not name.startswith("ECHODECK_")},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        process_group=0,
    )
    assert process.stdout
    draining: asyncio.Task[bytes] | None = None
    try:
        try:
            line = await asyncio.wait_for(process.stdout.readline(), SECONDS_TO_START)
            url = json.loads(line)["url"]
        except (TimeoutError, ValueError, KeyError):
            raise NotMeasured("the app to be measured did not start") from None
        draining = asyncio.create_task(process.stdout.read(), name="lab: output")
        async with httpx.AsyncClient(base_url=url, timeout=10, trust_env=False) as http:
            yield Apart(process, http, url.rstrip("/"))
    finally:
        if draining is not None:
            draining.cancel()
        await ended(process)


async def ended(process: asyncio.subprocess.Process) -> None:
    """Have it end, in an orderly way if it can."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), SECONDS_TO_END)
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
