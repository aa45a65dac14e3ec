"""``echodeck serve`` as a test starts and asks it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import httpx

from tests.commanding import SLOW
from tests.conftest import ECHODECK, Program
from tests.helpers import Client

Start = Callable[..., Program]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ECHODECK, *arguments], capture_output=True, text=True, timeout=SLOW, env=os.environ | environment, check=False
    )


def make(program: Program, variant: str, **fields: object) -> dict[str, object]:
    response = httpx.post(f"{program.url}/servers", json={"variant": variant, "port": 0, **fields})
    assert response.status_code == 201, response.text
    made: dict[str, object] = response.json()
    return made


def states(program: Program) -> dict[str, str]:
    return {item["name"]: item["state"] for item in httpx.get(f"{program.url}/servers").json()["items"]}


async def boom(port: object, times: int = 1) -> None:
    for _ in range(times):
        async with await Client.to(int(str(port))) as client:
            await client.send(b"boom\n")
            await client.rest()
