"""What an app costs that has no server, no page and no follower of its feed.

- wakeups a second: of all its threads, by ``voluntary_ctxt_switches`` of /proc/PID/task/*/status (proc(5)).
- processor share: of one processor.

Both over ``SECONDS``, not before ``SETTLES`` after readiness, as the app imports more then.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.subject import Measure, Row, Subject
from tests.bench.tree import Tree

SECONDS = 5.0
SETTLES = 10.0


def wakeups(pid: int) -> int:
    texts = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for text in texts)


@contextmanager
def idling(tree: Tree) -> Iterator[Measure]:
    with tree.app() as app:
        time.sleep(SETTLES)

        def measure() -> list[float]:
            began, woken, used = time.perf_counter(), wakeups(app.pid), app.processor_seconds
            time.sleep(SECONDS)
            passed = time.perf_counter() - began
            return [(wakeups(app.pid) - woken) / passed, (app.processor_seconds - used) / passed * 100]

        yield measure


SUBJECTS = (Subject((Row("idle: wakeups", "a second"), Row("idle: processor share", "%")), idling),)
