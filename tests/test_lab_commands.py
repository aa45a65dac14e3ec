"""The lab on the command line."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.commanding import environment
from tests.conftest import ECHODECK, Program


def cli(lab_app: Program, *words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ECHODECK, "lab", *words],
        env=environment(lab_app.url),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        check=False,
    )


FILE = """
variants = ["asyncio", "threads"]
seconds = 0.2
warm_up = 0.05
rounds = 1
clients = [1, 3]

[[expect]]
figure = "msgs_per_s"
variant = "asyncio"
above = %s
"""


def test_a_file_is_measured_and_what_it_expects_decides(lab: httpx.Client, lab_app: Program, tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(FILE % 10)
    (tmp_path / "two.toml").write_text(FILE % 1e9)
    done = cli(lab_app, "run", "one.toml", "--output", "one.json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "asyncio" in done.stdout
    assert "✓ msgs_per_s of asyncio at 1 above 10" in done.stdout
    missed = cli(lab_app, "run", "two.toml", "--json", folder=tmp_path)
    assert missed.returncode == 1
    assert "2 of 2 expectations do not hold" in missed.stderr
    assert json.loads(missed.stdout)["state"] == "done"
    id = json.loads(missed.stdout)["id"]
    assert cli(lab_app, "show", id).stdout.count("asyncio") >= 2
    beside = cli(lab_app, "compare", "one.json", id, folder=tmp_path)
    assert beside.returncode == 0
    assert "B/A" in beside.stdout
    (tmp_path / "cut.json").write_text((tmp_path / "one.json").read_text()[:200])
    cut = cli(lab_app, "show", "cut.json", folder=tmp_path)
    assert cut.returncode == 2
    assert "cut" in cut.stderr
    listed = cli(lab_app, "list")
    assert "polling-burns" in listed.stdout
    assert id in listed.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("variants = ['asyncio']\nspeed = 3\n", "bad.toml:2: speed: There is no such field."),
        ("variants = ['asyncio']\n\nclients = 0\n", "bad.toml:3: clients: Input should be greater than or equal to 1"),
        ("variants = [\n", "bad.toml: "),
        ("variants = ['nope']\n", "no variant 'nope'"),
    ],
)
def test_a_file_that_is_wrong_says_where(lab_app: Program, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    done = cli(lab_app, "run", "bad.toml", folder=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_cancels(lab: httpx.Client, lab_app: Program, tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_text("variants = ['asyncio']\nrounds = 50\nclients = 2\nseconds = 0.2\n")
    with subprocess.Popen(
        [ECHODECK, "lab", "run", str(tmp_path / "long.toml")],
        env=environment(lab_app.url),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not (items := lab.get("/experiments").json()["items"]) or items[0]["progress"]["trial"] < 1:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "is cancelled" in errors
    assert lab.get(f"/experiments/{items[0]['id']}").json()["state"] == "cancelled"
