"""The lab's generator against a client in C: ``python -m tests.bench.generator load.c``.

The C client is called as ``load PORT CONNECTIONS SIZE SECONDS EXTRA``, where EXTRA is what each answer is longer by, and
prints a line of JSON with ``msgs_s`` and ``p50_us``. Both are run in turns against the same servers.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

import echodeck
from app.experiments.histogram import Histogram
from servers import discover

CLIENTS, SIZE, SECONDS, ROUNDS = 50, 1024, 1.5, 5
MAY_DIFFER = 0.40


def in_c(program: Path, port: int, extra: int) -> dict[str, Any]:
    command = [program, port, CLIENTS, SIZE, SECONDS, extra]
    return dict(json.loads(subprocess.run(list(map(str, command)), capture_output=True, check=True).stdout))


def ours(port: int, prefix: str) -> dict[str, Any]:
    load = {"port": port, "clients": CLIENTS, "size": SIZE, "seconds": SECONDS, "warm_up": 0.3, "prefix": prefix}
    with subprocess.Popen(
        [sys.executable, "-m", "app.lab.generator"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(load) + "\n")
        process.stdin.flush()
        return next(done for done in map(json.loads, process.stdout) if done["event"] == "done")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    source = parser.parse_args().source
    compiler = shutil.which("cc")
    if compiler is None:
        print("there is no C compiler here: nothing is compared")  # noqa: T201
        return 0
    table = Table("variant", "in C, messages/s", "ours", "ratio", "p50 ratio", "the generator was the limit", box=None)
    apart = 0
    with tempfile.TemporaryDirectory() as folder, echodeck.running("--quiet") as deck:
        program = Path(folder) / "load"
        subprocess.run([compiler, "-O2", "-o", program, source, "-lm", "-lpthread"], check=True)
        for variant in discover().values():
            if variant.wire.answers != "each chunk":
                continue
            server = deck.create(variant.name)
            prefix = variant.wire.prefix.decode()
            rates, ratios, middles, limited = [], [], [], False
            for _ in range(ROUNDS):
                c, py = in_c(program, server.port, len(prefix)), ours(server.port, prefix)
                rates.append((c["msgs_s"], py["messages"] / py["seconds"]))
                ratios.append(rates[-1][1] / rates[-1][0])
                p50 = Histogram.of(py["latency"]).percentile(0.5) or 0.0
                middles.append(p50 * 1e6 / c["p50_us"])
                limited = limited or py["limited"] is not None
            deck.remove(server.name)
            ratio, middle = median(ratios), median(middles)
            apart += abs(ratio - 1) > MAY_DIFFER or abs(middle - 1) > MAY_DIFFER
            figures = (f"{median(one[0] for one in rates):,.0f}", f"{median(one[1] for one in rates):,.0f}")
            table.add_row(variant.name, *figures, f"{ratio:.2f}", f"{middle:.2f}", "yes" if limited else "")
    Console().print(table)
    return 1 if apart else 0


if __name__ == "__main__":
    raise SystemExit(main())
