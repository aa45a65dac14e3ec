"""Rows that ``make bench`` measures of this tree, and ``make bench-compare`` of two trees in turns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from statistics import median

from rich.console import Console
from rich.progress import track
from rich.table import Table

from app.experiments.statistics import DIFFERS
from tests.bench import idling, lists, programs
from tests.bench.subject import Measure, Subject
from tests.bench.tree import NotMeasured, Tree

SUBJECTS = (*programs.SUBJECTS, *idling.SUBJECTS, *lists.SUBJECTS)
console = Console()


def judge(ratios: list[float]) -> tuple[str, str, str]:
    """The median ratio, its range, and what they say: something only if all rounds agree, and by a tenth."""
    ratio, low, high = median(ratios), min(ratios), max(ratios)
    sure = (low > 1 or high < 1) and abs(ratio - 1) >= DIFFERS
    says = ("worse" if ratio > 1 else "better") if sure else "no difference shown"
    return f"{ratio:.2f}", f"{low:.2f}-{high:.2f}", says


def measured(tree: Tree, rounds: int, subjects: Iterable[Subject] = SUBJECTS) -> Table:
    """Of each row the median and the range, and the median ratio to its base, which is measured once a round."""
    table = Table("what", "median", "of rounds", "ratio", box=None)
    for subject in subjects:
        bases = {row.base for row in subject.rows if row.base}
        taken, of_bases = [], []
        try:
            with subject.measuring(tree) as measure:
                measure()  # the first one compiles modules, for example
                for _ in track(range(rounds), subject.rows[0].name, console=console, transient=True):
                    taken.append(measure())
                    of_bases.append({base: base.measure() for base in bases})
        except NotMeasured as reason:
            table.add_row(subject.rows[0].name, f"not measured: {reason}")
            continue
        for row, *figures in zip(subject.rows, *taken, strict=True):
            ratio = ""
            if row.base:
                seconds = [found[row.base] for found in of_bases]
                times = median(figure / second for figure, second in zip(figures, seconds, strict=True))
                ratio = f"× {times:.2f} of {row.base.name} ({median(seconds):.2f} s)"
            table.add_row(
                row.name, f"{median(figures):.3g} {row.unit}", f"{min(figures):.3g}-{max(figures):.3g}", ratio
            )
    return table


def compared(
    here: Tree, there: Tree, rounds: int, subjects: Iterable[Subject] = SUBJECTS
) -> Iterator[tuple[str, str, str, str, str]]:
    """Of each row the name, the unit, and how ``here`` is to ``there``, as ``judge`` says it. One tree is measured at a
    time, in each second round the other one first."""
    for subject in subjects:
        try:
            with ExitStack() as stack:
                measures = [stack.enter_context(subject.measuring(tree)) for tree in (here, there)]
                for measure in measures:
                    measure()
                numbers = track(range(rounds), subject.rows[0].name, console=console, transient=True)
                of_rounds = [_round(measures, number % 2 == 1) for number in numbers]
        except NotMeasured as reason:
            yield from ((row.name, row.unit, "", "", f"not measured: {reason}") for row in subject.rows)
            continue
        for row, *ratios in zip(subject.rows, *of_rounds, strict=True):
            yield row.name, row.unit, *judge(ratios)


def _round(measures: list[Measure], reverse: bool) -> list[float]:
    """The ratios of all rows."""
    if reverse:
        theirs, ours = measures[1](), measures[0]()
    else:
        ours, theirs = measures[0](), measures[1]()
    return [one / other for one, other in zip(ours, theirs, strict=True)]
