"""What long answers cost the app: lists of 1,000 servers, of 1,000 open connections, the metrics, the feed's snapshot.

The figure is the app's processor time for one answer: it depends less than the time that passes on what else runs on the
machine. The feed's view exists already: the first round, which isn't counted, has built it.
"""

from __future__ import annotations

import http.client
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

from tests.bench.subject import Measure, Row, Subject
from tests.bench.tree import App, Tree

MANY = 1000
CROWDED = 10
"""Servers that have the connections."""

TIMES = 5
PATHS = ("/servers?limit=1000", "/connections?limit=1000", "/metrics", "/events?topics=servers,connections")


def ask(app: App, path: str) -> None:
    """Take the answer; of a stream, the first event."""
    connection = http.client.HTTPConnection(urlsplit(app.url).netloc)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == 200, path
    if path.startswith("/events"):
        while not answer.readline().startswith(b"data:"):
            pass
    else:
        answer.read()
    connection.close()


@contextmanager
def listing(tree: Tree) -> Iterator[Measure]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ExitStack() as held:
        app = held.enter_context(tree.app())
        with app.client() as api:
            spec = {"variant": "asyncio", "port": 0}
            made = [api.post("/servers", json=spec).raise_for_status().json() for _ in range(MANY)]
            for number in range(MANY):
                address = made[number % CROWDED]["host"], made[number % CROWDED]["port"]
                held.enter_context(socket.create_connection(address))
            while len(api.get("/connections?limit=1000").json()["items"]) < MANY:
                pass

        def measure() -> list[float]:
            found = []
            for path in PATHS:
                used = app.processor_seconds
                for _ in range(TIMES):
                    ask(app, path)
                found.append((app.processor_seconds - used) / TIMES * 1000)
            return found

        yield measure


SUBJECTS = (Subject(tuple(Row(f"GET {path}", "ms of processor time") for path in PATHS), listing),)
