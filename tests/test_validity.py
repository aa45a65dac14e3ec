"""What others' checkers say of the pages and of the OpenAPI document: the Nu HTML checker, and Spectral."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.browsing import ROOT
from tests.conftest import Program
from tests.helpers import Client
from tests.programs import Start, boom, make

pytestmark = pytest.mark.slow

NU = ROOT / "node_modules" / "vnu-jar" / "build" / "dist" / "vnu.jar"
SPECTRAL = ROOT / "node_modules" / ".bin" / "spectral"
RULES = """
extends: ["spectral:oas"]
rules:
  info-contact: off
  info-description: off
  oas3-api-servers: off
"""
"""What is off asks who is behind an API and where it is: of an app that its reader has started that is known."""

PAGES = (
    "/",
    "/docs",
    "/nowhere",
    "/ui/exceptions",
    "/ui/glass",
    "/ui/lab",
    "/ui/lab/second-waits",
    "/ui/loop",
    "/ui/recordings/1",
    "/ui/servers/mine",
    "/ui/servers/over",
)


@pytest.fixture
async def running(program: Start) -> Program:
    """An app with something of everything to show."""
    running = program()
    port = make(running, "asyncio", name="mine")["port"]
    over = make(running, "accept-once", name="over")["port"]
    await boom(port, 2)
    async with await Client.to(int(str(over))) as client, await Client.to(int(str(port))) as other:
        await client.close()
        await other.ask(b"hello", b"hello")
        made = httpx.post(f"{running.url}/servers/mine/recordings", json={"seconds": 0.2})
        assert made.status_code == 201, made.text
    return running


def test_pages_are_valid_html(running: Program, tmp_path: Path) -> None:
    for language in ("en", "zh"):
        for page in PAGES:
            headers = {"accept": "text/html", "accept-language": language}
            text = httpx.get(running.url + page, headers=headers).text
            (tmp_path / f"{language}{page.replace('/', '_')}.html").write_text(text)
    command = ["java", "-jar", NU, "--errors-only", "--format", "json", *tmp_path.glob("*.html")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = json.loads(done.stderr)["messages"]
    assert [(one["url"].rpartition("/")[2], one["message"], one.get("extract")) for one in found] == []


def test_the_openapi_document_keeps_spectrals_rules(running: Program, tmp_path: Path) -> None:
    document, rules = tmp_path / "openapi.json", tmp_path / "rules.yaml"
    document.write_text(httpx.get(f"{running.url}/openapi.json").text)
    rules.write_text(RULES)
    command = [SPECTRAL, "lint", document, "--ruleset", rules, "--fail-severity", "warn"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
