"""README's commands, run as they stand there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx

from app.spec import ServerSpec
from tests.conftest import VARIANTS, Program

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def shell(script: str, program: Program) -> str:
    script = script.replace("localhost:8000", f"localhost:{program.port}")
    done = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_of_rest(program: Callable[..., Program]) -> None:
    running = program()
    create, seven, rest, watching = (block for block in blocks("sh") if "curl" in block)
    assert '"state":"running"' in shell(create, running)
    shell(seven, running)
    names = {item["name"] for item in httpx.get(f"{running.url}/servers").json()["items"]}
    assert {f"{name}-{8010 + step}" for step, name in enumerate(VARIANTS, 1) if step < 8} < names
    answers = shell(rest.replace("curl", "curl -sS --fail"), running)
    assert '"max_connections":100' in answers
    seen = shell(watching.replace("curl", "curl -sS --fail"), running)
    assert '"lag_ms"' in seen
    assert "echodeck_servers" in seen
    assert "asyncio-8001" not in {item["name"] for item in httpx.get(f"{running.url}/servers").json()["items"]}


def test_the_transcripts_of_the_steps(program: Callable[..., Program]) -> None:
    running = program()
    shell(next(block for block in blocks("sh") if "accept-once:8011" in block), running)
    for command in re.findall(r"`(printf [^`]*nc [^`]*)`", README):
        assert shell(command.replace("\\|", "|"), running) == "hello\nquit\n"


def test_the_targets_of_make_exist() -> None:
    for block in blocks("sh"):
        for target in re.findall(r"^make (\w+)", block, re.MULTILINE):
            subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_the_options_are_those_of_the_program() -> None:
    echodeck = Path(sys.executable).with_name("echodeck")
    said = subprocess.run([echodeck, "serve", "--help"], capture_output=True, text=True, check=True).stdout
    said = re.sub(r"\x1b\[[0-9;]*m", "", said)
    for option in re.findall(r"`(?:[^`]* )?(--[a-z-]+)", README.partition("## Running it")[2]):
        assert option in said or option == "--help", option


def test_the_fields_are_those_of_a_spec() -> None:
    table = README.partition("`POST /servers` takes:")[2].partition("It answers once")[0]
    told = {
        name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else "")
    }
    assert told == set(ServerSpec.model_fields)


def test_the_files_that_are_named_exist() -> None:
    for name in re.findall(r"`((?:app|servers)/[a-z0-9_/]+\.py)`", README):
        assert (ROOT / name).is_file(), name


def test_the_variant_of_the_recipe_passes_the_wire_suite(tmp_path: Path) -> None:
    """In a copy of the project, as a reader would do it."""
    ignored = shutil.ignore_patterns(".*", "node_modules", "__pycache__", "vendor")
    copy = Path(shutil.copytree(ROOT, tmp_path / "copy", ignore=ignored))
    (recipe,) = blocks("python")
    (copy / "servers" / "beyond_mark.py").write_text(recipe)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "mark", "tests/test_wire.py"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    assert int(passed.group(1)) > 8
