"""How long a user waits for a program: for the app, a command, a comparison, the first test with a server.

- start: from the process's creation to the first 200 of ``GET /readyz``; against ``tests/bench/bare.py``, the same way.
- ``echodeck --version``, and ``echodeck ls`` on an app without servers: from creation to end; against
  ``python -c "import typer"``.
- the processor time of these, of the program and its children: it depends less on what else runs on the machine.
- comparison: ``POST /comparisons``, the built-in script ``one-client`` to its four variants; less what the script lasts.
- fixture: from pytest's creation to the first line of a test with ``echo_server``; less the same without a server.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.kernel.ports import free_ports
from tests.bench.subject import Base, Measure, Row, Subject
from tests.bench.tree import NotMeasured, Tree, ready

SCRIPT = "one-client"
COMMANDS = ("--version", "ls")
BARE = Path(__file__).with_name("bare.py")
TEST = """
import time
from pathlib import Path

def test_it({fixture}):
    Path({file!r}).write_text(str(time.perf_counter()))
"""


def _took(command: Sequence[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds that passed, and of processor time."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, env=environment)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def import_typer() -> float:
    return _took([sys.executable, "-c", "import typer"], dict(os.environ))[0]


def bare_start() -> float:
    port = free_ports(1)[0]
    began = time.perf_counter()
    with ready([sys.executable, BARE, str(port)], port, dict(os.environ)):
        return time.perf_counter() - began


@contextmanager
def starting(tree: Tree) -> Iterator[Measure]:
    def measure() -> list[float]:
        began = time.perf_counter()
        with tree.app() as app:
            return [time.perf_counter() - began, app.processor_seconds]

    yield measure


@contextmanager
def commanding(tree: Tree) -> Iterator[Measure]:
    with tree.app() as app:
        environment = tree.environment | {"ECHODECK_URL": app.url}
        yield lambda: [figure for name in COMMANDS for figure in _took(tree.command(name), environment)]


@contextmanager
def comparing(tree: Tree) -> Iterator[Measure]:
    with tree.app() as app, app.client() as api:
        scripts = api.get("/scripts")
        if scripts.status_code == 404:
            raise NotMeasured("there are no comparisons")
        script = next(one for one in scripts.json()["items"] if one["name"] == SCRIPT)

        def measure() -> list[float]:
            began = time.perf_counter()
            made = api.post("/comparisons", json={"script": SCRIPT, "variants": script["variants"]})
            took = time.perf_counter() - began
            if made.status_code != 201:
                raise NotMeasured(made.json()["detail"])
            return [took - script["seconds"]]

        yield measure


@contextmanager
def testing(tree: Tree) -> Iterator[Measure]:
    with tempfile.TemporaryDirectory(prefix="echodeck-bench-") as folder:

        def until_the_test(fixture: str) -> float:
            test, reached = Path(folder, f"test_{fixture or 'alone'}.py"), Path(folder, "reached")
            test.write_text(TEST.format(fixture=fixture, file=str(reached)))
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, cwd=folder, env=tree.environment)
            return float(reached.read_text()) - began  # the machine's monotonic clock in both processes

        yield lambda: [until_the_test("echo_server") - until_the_test("")]


BARE_START = Base("a bare FastAPI program's start", bare_start)
TYPER = Base("importing typer", import_typer)


def _of_command(name: str) -> tuple[Row, Row]:
    return Row(f"echodeck {name}", "s", TYPER), Row(f"echodeck {name}", "s of processor time")


SUBJECTS = (
    Subject((Row("start", "s", BARE_START), Row("start", "s of processor time")), starting),
    Subject(tuple(row for name in COMMANDS for row in _of_command(name)), commanding),
    Subject((Row("comparison of four, beyond its script", "s"),), comparing),
    Subject((Row("fixture, beyond pytest alone", "s", BARE_START),), testing),
)
