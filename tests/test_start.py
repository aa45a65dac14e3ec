"""The start: what is not imported before the app is ready, and the features that come a moment later."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Collection, Mapping
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from jinja2 import DictLoader, Environment

from app.history.schema import Bounds, Packed, put_recording
from app.history.store import Store
from app.program.parts import PARTS
from app.web.template_cache import TemplateCache
from tests.helpers import until

ROOT = Path(__file__).parent.parent

LATER = {
    "app.across.lists": "only a fleet merges lists",
    "app.api.connections": "for the first call, or a moment later",
    "app.api.metrics": "a moment later: Prometheus does not scrape in the first second",
    "app.api.nodes": "only a fleet has nodes",
    "app.api.servers": "for the first call, or a moment later",
    "app.etcd": "only a fleet has an etcd",
    "app.experiments": "the lab's, a moment later",
    "app.fleet.fleet": "only with --fleet",
    "app.glass": "tracing, a moment later",
    "app.hosting": "starts processes for the lab and comparisons",
    "app.lab": "the lab, a moment later",
    "app.lens": "tracing, a moment later",
    "app.measuring": "the lab, a moment later",
    "app.program.service_manager": "only where a service manager is to be notified",
    "app.recordings": "tracing, a moment later",
    "babel.messages": "reads catalogues, which English has none of",
    "httpcore": "asks other apps; a server does not",
    "httpx": "asks other nodes; an app alone does not",
    "prometheus_client": "for /metrics",
    "pygments": "colours a variant's source, on a server's page only",
    "rich": "for tables in a terminal",
    "tomli_w": "writes manifests, for `echodeck export`",
    "uvloop": "only with --loop uvloop",
}
"""What must not be imported before the app is ready, and why. Each costs from 5 to 60 ms."""

FOR_PEOPLE = {"app.pages": "whoever starts it with --json calls REST first", "jinja2": "likewise"}

START = """
import asyncio, json, sys
sys.path.insert(0, sys.argv[1])
from app.program import launch
from app.program.app import create_app
from app.settings import Settings

async def start():
    app, seen = create_app(Settings(state=":memory:"), for_people={for_people}), set()
    async with app.router.lifespan_context(app):
        {until_ready}
        print(json.dumps(sorted(seen)))

asyncio.run(start())
"""
READY = "seen = set(sys.modules)"
SLICES = """while not hasattr(app.state, "laboratory"):
            seen.add(len(sys.modules))
            await asyncio.sleep(0.001)"""


def imported(until_ready: str, *, for_people: bool) -> set[object]:
    program = START.replace("{until_ready}", until_ready).replace("{for_people}", str(for_people))
    command = [sys.executable, "-c", program, str(ROOT)]
    return set(json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout))


def early(modules: Mapping[str, str], found: Collection[object]) -> dict[str, str]:
    return {name: why for name, why in modules.items() if name in found}


def test_nothing_is_imported_before_readiness_that_a_start_does_not_need() -> None:
    found = imported(READY, for_people=True)
    assert early(LATER, found) == {}
    assert "app.pages.dashboard" in found  # the first page does not wait


def test_a_program_that_starts_the_app_does_not_wait_for_its_pages() -> None:
    assert early(LATER | FOR_PEOPLE, imported(READY, for_people=False)) == {}


def test_each_module_that_must_come_later_exists(app: FastAPI) -> None:
    for name in LATER | FOR_PEOPLE:
        importlib.import_module(name)


async def test_a_request_for_a_feature_loads_it_at_once(api: httpx.AsyncClient) -> None:
    assert (await api.get("/scripts")).status_code == 200
    assert (await api.get("/lab/built-in")).status_code == 200


def test_each_module_that_a_part_names_exists() -> None:
    for part in PARTS:
        for name in (*part.before, *part.routers):
            importlib.import_module(name)


async def test_features_are_loaded_after_readiness_without_a_request(app: FastAPI) -> None:
    assert not hasattr(app.state, "laboratory")
    await until(lambda: hasattr(app.state, "laboratory"), "the features are loaded")


def test_features_are_imported_in_slices_between_which_the_loop_turns() -> None:
    seen = imported(SLICES, for_people=True)
    assert len(seen) > 8


async def test_an_unknown_path_is_refused_before_and_after_the_features_are_loaded(api: httpx.AsyncClient) -> None:
    assert [(await api.get("/nowhere")).status_code for _ in range(2)] == [404, 404]
    refused = await api.post("/scripts")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET")


async def test_the_document_has_the_routes_of_all_features(api: httpx.AsyncClient) -> None:
    paths = (await api.get("/openapi.json")).json()["paths"]
    assert {"/servers", "/recordings", "/lab/experiments", "/nodes"} <= paths.keys()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(tmp_path / "state", Bounds())
    made.open()
    yield made
    await made.close()


async def test_a_deleted_state_file_is_written_anew_with_what_no_feature_has_read_yet(
    store: Store, tmp_path: Path
) -> None:
    store.recordings = [Packed(7, b"packed")]
    (tmp_path / "state").unlink()
    store.put(put_recording(Packed(8, b"new")))
    await store.flush()
    await store.close()
    again = Store(tmp_path / "state", Bounds())
    again.open()
    assert [one.number for one in again.recordings] == [7, 8]
    await again.close()


# The cache of templates


def render(folder: Path, source: str, options: str = "") -> str:
    environment = Environment(loader=DictLoader({"one": source}), bytecode_cache=TemplateCache(folder, options))
    return environment.get_template("one").render()


def test_a_template_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert render(tmp_path / "cache", "hello {{ 1 + 1 }}") == "hello 2"
    monkeypatch.setattr(Environment, "compile", None)
    assert render(tmp_path / "cache", "hello {{ 1 + 1 }}") == "hello 2"


@pytest.mark.parametrize("options", ["", "other"])
def test_a_changed_template_or_option_is_compiled_anew(tmp_path: Path, options: str) -> None:
    render(tmp_path, "before")
    assert render(tmp_path, "after", options) == "after"


def test_a_cache_that_is_broken_is_compiled_anew(tmp_path: Path) -> None:
    render(tmp_path, "hello")
    for content in (b"", b"j2", b"x" * 1000):
        (file,) = tmp_path.iterdir()
        file.write_bytes(content)
        assert render(tmp_path, "hello") == "hello"
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert render(tmp_path, "hello") == "hello"


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert render(tmp_path / "file" / "cache", "hello") == "hello"
    assert render(Path("/proc/nowhere"), "hello") == "hello"
