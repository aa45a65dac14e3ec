"""The commands of README and of the tutorial, run as they stand there."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.kernel.ports import free_ports
from tests.conftest import Program
from tests.readme_tables import brought_up_to_date

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def block(words: str, language: str = "sh") -> str:
    (found,) = (one for one in blocks(language) if words in one)
    return found


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"} | more


class Shell:
    """Runs commands against an app; each port that they name is another one, which is free."""

    def __init__(self, program: Program) -> None:
        self.url = program.url
        self._ports = {"8000": str(program.port)}

    def __call__(self, script: str, folder: Path = ROOT) -> str:
        """Returns what they print, with the ports that they name."""
        done = subprocess.run(
            ["sh", "-euc", self.with_free_ports(script)],
            cwd=folder,
            env=environment(ECHODECK_URL=self.url),
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return self._as_named(done.stdout)

    def with_free_ports(self, text: str) -> str:
        def free(port: re.Match[str]) -> str:
            return self._ports.setdefault(port.group(), str(free_ports(1)[0]))

        return re.sub(r"\b80\d\d\b", free, text)

    def get(self, path: str) -> Any:
        answer = httpx.get(self.url + self.with_free_ports(path)).raise_for_status()
        return json.loads(self._as_named(answer.text))

    def _as_named(self, text: str) -> str:
        for named, free in self._ports.items():
            text = text.replace(free, named)
        return text


@pytest.fixture
def shell(program: Callable[..., Program]) -> Shell:
    return Shell(program())


def test_the_commands_of_rest(shell: Shell) -> None:
    assert '"state":"running"' in shell(block("curl -X POST localhost:8000/servers -H"))
    answers = shell(block("-X PATCH").replace("curl", "curl -sS --fail"))
    assert '"max_connections":100' in answers
    shell("echodeck start blocking --port 8021")
    seen = shell(block("/journal").replace("curl", "curl -sS --fail"))
    assert '"lag_ms"' in seen
    assert "echodeck_servers" in seen
    assert "asyncio-8001" not in {item["name"] for item in shell.get("/servers")["items"]}


def test_the_command_line(shell: Shell) -> None:
    said = shell(block("echodeck term"))
    assert re.search(r"^hello$", said, re.MULTILINE)
    assert "asyncio-8011 was removed" in said
    assert shell.get("/servers")["items"] == []


def test_servers_in_a_file(shell: Shell, tmp_path: Path) -> None:
    shell(block("echodeck export"), tmp_path)
    assert shell.get("/servers/blocking-8021")["spec"]["backlog"] == 128
    (tmp_path / "servers.toml").write_text(shell.with_free_ports(block("[[server]]", "toml")))
    shell("echodeck apply servers.toml", tmp_path)
    assert shell.get("/servers/blocking-8021")["spec"]["backlog"] == 2


@pytest.mark.parametrize("alone", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_fixture_in_another_project(tmp_path: Path, alone: bool) -> None:
    """Installed from a fresh clone, which has nothing that npm brings, into an environment that has nothing; or that
    has only what we depend on, at once."""
    ignored = shutil.ignore_patterns(".*", "node_modules", "__pycache__", "vendor", "tests")
    clone = Path(shutil.copytree(ROOT, tmp_path / "clone", ignore=ignored))
    shutil.copy(ROOT / ".npmrc", clone)
    project = tmp_path / "project"
    (project / "app").mkdir(parents=True)  # which many projects have
    (project / "app" / "__init__.py").touch()
    (project / "test_mine.py").write_text(
        f"import socket\n\nimport app\nimport pytest\n\n{block('echo_server', 'python')}"
        "\n\ndef test_names():\n    with pytest.raises(ImportError):\n        import servers\n"
    )

    def said(*command: str | Path) -> str:
        done = subprocess.run(
            command, cwd=project, env=environment(), capture_output=True, text=True, timeout=500, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    python = tmp_path / "venv" / "bin" / "python"
    if alone:
        said(sys.executable, "-m", "venv", tmp_path / "venv")
        said(python, *pip, clone, "pytest")
    else:
        said(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
        packages = Path(said(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        said(sys.executable, *pip, "--no-deps", "--no-build-isolation", "--target", packages, clone)
        (packages / "ours.pth").write_text(sysconfig.get_path("purelib"))  # without what is installed to be edited
    assert "3 passed" in said(python, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert said(python, "-m", "echodeck", "--version").startswith("echodeck ")
    if alone:
        assert said(tmp_path / "venv" / "bin" / "echodeck", "--version") == said(python, "-m", "echodeck", "--version")


def test_the_tutorial(shell: Shell) -> None:
    done = [shell(one) for one in blocks("sh", (ROOT / "TUTORIAL.md").read_text())]
    once, single, _, _, polling, selecting, basic, contained, _ = done
    assert "exited" in once
    assert "hello\nquit\n" in single
    assert "exited" in single
    assert float(re.search(r"nonblocking-8014 .*? (\d+\.\d)%", polling)[1]) > 50  # type: ignore[index]
    assert "You Got hello" in selecting
    assert float(re.search(r"selectors-8015 .*? (\d+\.\d)%", selecting)[1]) < 10  # type: ignore[index]
    assert '"function":"serve"' in basic
    assert "RuntimeError" in contained
    assert "b'boom\\n'" in contained


def test_both_tutorials_have_the_same_commands() -> None:
    one, other = ((ROOT / name).read_text() for name in ("TUTORIAL.md", "TUTORIAL.zh.md"))
    assert blocks("sh", one) == blocks("sh", other)
    assert one.count("\n## ") == other.count("\n## ")


def says(script: str, words: str, **more: str) -> str:
    """What a program said until it said this; it ends then."""
    with subprocess.Popen(
        ["sh", "-euc", script],
        cwd=ROOT,
        env=environment(ECHODECK_PORT="0", ECHODECK_STATE=":memory:", **more),
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        assert process.stdout is not None
        said = ""
        try:
            while not re.search(words, said):
                line = process.stdout.readline()
                assert line, said
                said += line
            return said
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def test_the_app_is_started_by_make() -> None:
    assert "127.0.0.1" in says(block("make run"), "Echodeck is at http://.*\n")


def test_beyond_loopback_a_token_is_asked_for() -> None:
    assert "0.0.0.0" in says(block("openssl"), "Echodeck is at http://.*\n")


def test_the_targets_of_make_exist() -> None:
    text = README + (ROOT / "CONTRIBUTING.md").read_text() + (ROOT / "TUTORIAL.md").read_text()
    targets = set(re.findall(r"\bmake (\w+)", "".join(blocks("sh", text)))) | set(re.findall(r"`make (\w+)`", text))
    assert {"run", "demo", "test", "lint", "bench", "picture"} <= targets
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_the_options_are_those_of_the_program() -> None:
    said = subprocess.run(
        [BIN / "echodeck", "serve", "--help"], env=environment(), capture_output=True, text=True, check=True
    ).stdout
    said = re.sub(r"\x1b\[[0-9;]*m", "", said)
    for option in re.findall(
        r"`(?:[^`]* )?(--[a-z-]+)", README.partition("## Running it")[2].partition("## What it withstands")[0]
    ):
        assert option in said or option == "--help", option


def test_what_it_withstands_is_tested() -> None:
    tables = README.partition("## What it withstands")[2].partition("## With Docker")[0]
    named = set(re.findall(r"`(?:tests/)?(test_\w+\.py)`", tables))
    assert len(named) > 15
    assert [name for name in named if not (ROOT / "tests" / name).is_file()] == []
    rows = [line for line in tables.splitlines() if line.startswith("| ") and "---" not in line]
    assert [row for row in rows if "test" not in row.split("|")[3]] == []


def test_the_tables_are_those_of_the_code() -> None:
    assert brought_up_to_date(README) == README, "make words"


def test_the_files_that_are_named_exist() -> None:
    for name in re.findall(r"`((?:app|servers)/[a-z0-9_/]+\.py)`", README):
        assert (ROOT / name).is_file(), name


@pytest.mark.slow  # those of the project have passed it, and this one is on the page
def test_the_variant_of_the_recipe_passes_the_wire_suite(tmp_path: Path) -> None:
    """In a copy of the project, as a reader would do it."""
    ignored = shutil.ignore_patterns(".*", "node_modules", "__pycache__", "vendor")
    copy = Path(shutil.copytree(ROOT, tmp_path / "copy", ignore=ignored))
    (copy / "servers" / "beyond_mark.py").write_text(block("ON_THE_WIRE", "python"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "mark", "tests/test_wire.py"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    assert int(passed.group(1)) >= 8


async def test_the_variant_of_the_recipe_is_on_the_page(program: Callable[..., Program], tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns(".*", "node_modules", "__pycache__", "vendor", "tests")
    copy = Path(shutil.copytree(ROOT, tmp_path / "copy", ignore=ignored))
    (copy / "servers" / "beyond_mark.py").write_text(block("ON_THE_WIRE", "python"))
    running = program(command=(sys.executable, copy / "echodeck.py"))
    page = httpx.get(running.url).text
    assert 'data-start="mark"' in page
    assert "Mark every answer" in page
    shell = Shell(running)
    assert shell("echodeck start mark --port 8031 && printf 'hello\\n' | nc -N localhost 8031").endswith("MARK hello\n")
