"""The lab as tests have it: experiments that are over soon, and how one waits for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Program

SHORT: dict[str, Any] = {"seconds": 0.2, "warm_up": 0.05, "rounds": 1, "clients": 3, "size": 64}


@pytest.fixture(scope="module")
def lab_app() -> Iterator[Program]:
    """One app for all tests of a file."""
    made = Program("--state", ":memory:")
    yield made
    made.end()


@pytest.fixture
def lab(lab_app: Program) -> Iterator[httpx.Client]:
    """Nothing is measured when the test begins."""
    with httpx.Client(base_url=f"{lab_app.url}/lab", timeout=30) as http:
        yield http
        for one in http.get("/experiments").json()["items"]:
            http.delete(f"/experiments/{one['id']}")


def finished(lab: httpx.Client, id: str, patience: float = 60) -> dict[str, Any]:
    deadline = time.monotonic() + patience
    while True:
        now = dict(lab.get(f"/experiments/{id}").json())
        if now["state"] not in ("waiting", "running"):
            return now
        assert time.monotonic() < deadline, now
        time.sleep(0.05)


def measured(lab: httpx.Client, **fields: Any) -> dict[str, Any]:
    begun = lab.post("/experiments", json={**SHORT, **fields})
    assert begun.status_code == 202, begun.text
    state = finished(lab, begun.json()["id"])
    assert state["state"] == "done", state
    return dict(lab.get(f"/results/{state['id']}").json())


def refusal(answer: httpx.Response) -> tuple[int, str, str | None]:
    problem = answer.json()
    return answer.status_code, problem["type"].rpartition("/")[2], problem.get("field")


def children(pid: int) -> set[int]:
    """All processes that descend from this one."""
    found = set()
    for one in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, one.read_text().split()):
                found |= {child} | children(child)
    return found


def eventually(holds: Callable[[], Any], what: str, patience: float = 10) -> None:
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return False
