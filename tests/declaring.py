"""Files that declare servers, and the servers of a program."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import ECHODECK, Program


def echodeck(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ECHODECK_")}
    return subprocess.run(
        [ECHODECK, *arguments], input=stdin, capture_output=True, text=True, timeout=30, env=environment, check=False
    )


def servers(program: Program) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in httpx.get(f"{program.url}/servers").json()["items"]}


def states(program: Program) -> dict[str, str]:
    return {name: one["state"] for name, one in servers(program).items()}


@contextmanager
def held_port() -> Iterator[int]:
    """A port that is taken."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        yield other.getsockname()[1]


def entry(variant: str, port: int, **fields: object) -> str:
    lines = [f"{name} = {json.dumps(value)}" for name, value in {"variant": variant, "port": port, **fields}.items()]
    return "\n".join(["[[server]]", *lines, ""])
