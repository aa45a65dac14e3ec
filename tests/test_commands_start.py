"""The modules that a command imports, and the table from which its help is shown until then."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.cli import COMMANDS, load
from echodeck import EchoServer
from tests.commanding import environment, error_output, output, terminal

ROOT = Path(__file__).parent.parent

UNNEEDED = {
    "app.program.app": "the app is imported by `serve` only",
    "app.settings": "settings are those of `serve`",
    "app.supervising": "the settings of a server are options of `start` and `change` only",
    "asyncio": "used by `term` and `visitors` only",
    "fastapi": "the app is imported by `serve` only",
    "httpx": "imports its own command line, and with it click, rich and pygments; the client uses httpcore",
    "importlib.metadata": "the version is in the package itself",
    "pydantic": "takes longer than everything else: the client's objects and the values of options do without",
    "rich": "draws progress bars and live views, and colours code, in a terminal",
    "tomllib": "reads a config file, which few have",
    "urllib.request": "reads proxies from the environment, for an app on another machine",
    "websockets": "used by `term` only",
}
"""What a command that makes a request to the app must not import, and why."""

LATER = UNNEEDED | {
    "app.commands": "a command is imported when it runs",
    "certifi": "authorities, for an app behind TLS",
    "httpcore": "makes requests",
}
"""The same for what makes no request."""

NO_CLIENT = {name: LATER[name] for name in ("httpcore", "rich")} | {
    "app.commands.servers": "other commands",
    "httpx": "makes requests to other nodes, to measured servers, and to etcd",
}
"""What a process that serves must not import before it is ready."""

PROGRAM = """
import json, sys
import echodeck
{patch}
try:
    echodeck.main()
except SystemExit:
    pass
sys.stdout = sys.__stdout__
print()
print(json.dumps(list(sys.modules)))
"""
AT_LAUNCH = "import app.program.launch\napp.program.launch.launch = lambda *_: None"


def imported(url: str, *words: str, patch: str = "", **more: str) -> set[str]:
    """The modules that the program has imported when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("{patch}", patch), *words],
        cwd=ROOT,
        env=environment(url, **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def needless(found: set[str], unneeded: dict[str, str]) -> dict[str, str]:
    return {name: why for name, why in unneeded.items() if name in found}


@pytest.mark.parametrize("name", LATER | NO_CLIENT)
def test_each_module_that_is_not_imported_exists(name: str) -> None:
    assert importlib.util.find_spec(name)


@pytest.mark.parametrize("words", ["--version", "--help", "", "nothing"])
def test_version_help_and_mistakes_import_no_command(words: str) -> None:
    assert needless(imported("http://127.0.0.1:1", *words.split()), LATER) == {}


@pytest.mark.parametrize("words", ["ls", "ls --json", "ls NAME", "show NAME", "stop NAME", "connections", "exceptions"])
def test_a_command_imports_what_it_needs(echo_server: EchoServer, words: str) -> None:
    found = imported(echo_server.deck.url, *words.replace("NAME", echo_server.name).split())
    assert needless(found, UNNEEDED) == {}
    assert "httpcore" in found


def test_completion_imports_the_command_whose_arguments_are_completed(echo_server: EchoServer) -> None:
    def complete(line: str) -> set[str]:
        words = {"COMP_WORDS": line.replace(" ", "\n"), "COMP_CWORD": "2" if line.count(" ") > 1 else "1"}
        return imported(echo_server.deck.url, _ECHODECK_COMPLETE="complete_bash", **words)

    assert needless(complete("echodeck st"), LATER) == {}
    assert needless(complete("echodeck stop a"), UNNEEDED) == {}


def test_a_serving_process_imports_no_client_before_it_is_ready() -> None:
    found = imported("", "serve", "--port", "0", "--state", ":memory:", patch=AT_LAUNCH)
    assert needless(found, NO_CLIENT) == {}
    assert "app.program.app" in found


def test_pytest_imports_no_client_until_a_test_needs_a_server() -> None:
    program = "import json, sys, pytest_echodeck\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True, timeout=60)
    assert not {"echodeck", "httpcore"} & set(json.loads(done.stdout))


def test_the_client_library_imports_its_dependencies_when_they_are_used() -> None:
    program = "import json, sys, echodeck\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True, timeout=60)
    assert needless(set(json.loads(done.stdout)), {**LATER, "email": "dates of answers", "ssl": "TLS"}) == {}


# The table, and the help made from it


def help_of(name: str, command: Any) -> str:
    context = command.make_context(name, [], resilient_parsing=True)
    return "\n".join([command.get_help(context), *(help_of(*one) for one in getattr(command, "commands", {}).items())])


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_as_the_table_has_it(name: str) -> None:
    command = load(name, None)
    assert (command.name, command.help.split("\n\n")[0]) == (name, COMMANDS[name].help)
    assert "\\" not in help_of(name, command).replace("\\xNN", "")


def test_every_command_is_in_the_table() -> None:
    modules = {entry.module for entry in COMMANDS.values()}
    assert modules == {f"app.commands.{path.stem}" for path in (ROOT / "app/commands").glob("[a-z]*.py")}


def test_help_in_a_pipe_is_plain_and_has_every_command_in_full() -> None:
    text = output("", "--help")
    assert text.isascii()
    assert " ".join(text.split()).endswith(" ".join(f"{name} {entry.help}" for name, entry in COMMANDS.items()))


def test_help_in_a_terminal_is_in_boxes() -> None:
    with terminal("", "ls", "--help") as screen:
        assert screen.end() == 0
        assert {"╭─ Arguments", "╭─ Options"} <= {line[:12].rstrip(" ─") for line in screen.text.splitlines()}


@pytest.mark.parametrize(
    ("words", "mistake"),
    [
        ("show", "Missing argument 'NAME'."),
        ("lss", "No such command 'lss'. Did you mean 'ls'?"),
        ("stop x --drain soon", "Invalid value for '--drain': Input should be a valid number"),
        ("top --interval 0", "Invalid value for '--interval': Input should be greater than or equal to 0.1"),
    ],
)
def test_a_mistake_is_named_without_a_frame_unless_in_a_terminal(words: str, mistake: str) -> None:
    text = error_output("", *words.split(), code=2)
    assert text.splitlines()[-1].startswith(f"Error: {mistake}")
    assert text.isascii()
    with terminal("", *words.split()) as screen:
        assert screen.end() == 2
        assert "╭─ Error" in screen.text
