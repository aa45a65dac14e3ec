"""What a process has used of the machine, by the kernel's account."""

from __future__ import annotations

import re
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

CPUCLOCK_SCHED = 2
"""Of a process: clock_getcpuclockid(3) makes such a clock's number of a process's."""

T = TypeVar("T", int, float)


@dataclass(frozen=True)
class Used:
    """``seconds`` of a processor, and ``switches`` of its threads, since it began; None where nobody says."""

    seconds: float | None
    switches: int | None

    @classmethod
    def by(cls, pid: int | None) -> Used:
        if pid is None or sys.platform != "linux":
            return cls(None, None)
        switches = 0
        try:
            seconds = time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)
            for task in Path(f"/proc/{pid}/task").iterdir():
                with suppress(OSError):
                    text = (task / "status").read_text()
                    switches += sum(
                        map(int, re.findall(r"^(?:non)?voluntary_ctxt_switches:\s+(\d+)", text, re.MULTILINE))
                    )
        except OSError:
            return cls(None, None)
        return cls(seconds, switches)

    def since(self, before: Used) -> Used:
        return Used(_between(before.seconds, self.seconds), _between(before.switches, self.switches))


def _between(first: T | None, last: T | None) -> T | None:
    return None if first is None or last is None else max(last - first, type(last)(0))
