"""`echodeck fleet`, as a stranger tries it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.kernel.ports import free_ports
from tests.commanding import SLOW, environment
from tests.conftest import ECHODECK
from tests.engines import until


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_fleet_to_try_comes_and_goes_with_one_command(tmp_path: Path, how: signal.Signals) -> None:
    port = free_ports(1)[0]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [ECHODECK, "fleet", "--port", str(port), "--seed", "1"],
            stdout=log,
            stderr=log,
            env=environment(""),
            start_new_session=True,
        )
    try:
        said = tmp_path / "log"
        until(lambda: "Ctrl+C ends it all" in said.read_text(), "it is there", patience=SLOW)
        pids = {int(pid) for pid in re.findall(r"kill -9 (\d+)", said.read_text())}
        engine = next(int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _is_engine(p, process.pid))
        with httpx.Client(base_url=f"http://127.0.0.3:{port}", timeout=10) as http:
            until(
                lambda: sum(one["connections"]["total"] for one in http.get("/servers").json()["items"]) > 5,
                "visitors",
            )
            if how is signal.SIGINT:
                os.kill(min(pids), signal.SIGKILL)
                until(lambda: _without_node_a(http.get("/servers").json()["items"]), "its servers are elsewhere")
        process.send_signal(how)
        process.wait(timeout=20)
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in {*pids, engine}), "nothing is left")
        if how is signal.SIGINT:
            assert "Traceback" not in said.read_text()
    finally:
        process.kill()
        process.wait()


def _without_node_a(servers: list[dict[str, Any]]) -> bool:
    return len(servers) == 10 and {one["node"] for one in servers} == {"node-b", "node-c"}


def _is_engine(process: Path, parent: int) -> bool:
    with suppress(OSError):
        command = (process / "cmdline").read_bytes()
        status = (process / "status").read_text()
        return b"etcd" in command.split(b"\0")[0] and f"PPid:\t{parent}\n" in status
    return False
