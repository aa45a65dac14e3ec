"""``echodeck lab``: experiments of the app's lab, and what came out of them."""

from __future__ import annotations

import json
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError

import echodeck
from app.console.figures import age
from app.console.parameters import Command, Group
from app.console.reach import Reach, asks
from app.console.tables import Line, escape, print_answer, table, to_terminal
from app.experiments.compare import compared, same_affinity, same_machine
from app.experiments.experiment import Affinity, Experiment
from app.experiments.plots import FIGURES
from app.experiments.result import NoResult, Result, parse
from app.program.exit_codes import INVALID, REFUSED, fail, print_error

lab = typer.Typer(cls=Group, no_args_is_help=True, help="Measure variants, and read what was measured.")

LOOK_EVERY = 0.3
BARS = "▁▂▃▄▅▆▇█"

Id = Annotated[str, typer.Argument(metavar="ID|FILE", help="An experiment's id, or a file with a result (JSON).")]


@lab.command("list", cls=Command)
@asks
def list_(reach: Reach) -> None:
    """List the built-in experiments, and those that were begun."""
    built_in, begun = reach.deck.built_in_experiments(), reach.deck.experiments()
    if reach.as_json:
        reach.answer_json({"built_in": built_in, "experiments": [one.model_dump(mode="json") for one in begun]})
        return
    rows = [(str(one["name"]), f"{one['seconds']:.0f} s", str(one["question"])) for one in built_in]
    print_answer(table(("NAME", "TAKES", "QUESTION"), rows, right=frozenset({"TAKES"})))
    if begun:
        print_answer(" ")
        columns = ("ID", "STATE", "TRIALS", "STARTED", "VARIANTS", "QUESTION")
        print_answer(table(columns, map(_run_row, begun), right=frozenset({"TRIALS"}), gives_way=("QUESTION",)))


def _run_row(one: echodeck.Experiment) -> tuple[str, ...]:
    trials = f"{one.progress.trial}/{one.progress.of}"
    return one.id, one.state, trials, f"{age(one.started)} ago", ", ".join(one.variants), one.question


@lab.command(cls=Command)
@asks
def run(
    reach: Reach,
    what: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A built-in experiment, or a file (TOML).")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the result there too, as JSON.")
    ] = None,
    affinity: Annotated[
        Affinity | None,
        typer.Option(
            help="Cores of server and generator: one each, the same one, or whichever the kernel chooses; in place of "
            "the file's."
        ),
    ] = None,
) -> None:
    """Measure, and show what came out. Ctrl+C cancels.

    Exit code 1 if the experiment fails, or a figure is not as the file's `expect` has it.
    """
    begun = reach.deck.measure(_experiment(what) | ({"affinity": affinity} if affinity else {}))
    try:
        now = _followed(reach, begun)
    except KeyboardInterrupt:
        reach.deck.end_experiment(begun.id)
        fail(f"experiment {begun.id} is cancelled", REFUSED)
    result = _parsed(json.dumps(reach.deck.result(begun.id)), begun.id)
    if output is not None:
        try:
            output.write_text(result.model_dump_json(by_alias=True, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            print_error(f"--output {output}: {error.strerror or error}")
    _show(reach, result)
    if now.state != "done":
        fail(escape(f"experiment {begun.id}: {now.state}, {now.reason or 'no reason was given'}"), REFUSED)
    if missed := [one for one in result.expected if not one.holds]:
        fail(f"{len(missed)} of {len(result.expected)} expectations do not hold", REFUSED)


@lab.command(cls=Command)
@asks
def show(reach: Reach, id: Id) -> None:
    """Show what came out of an experiment."""
    _show(reach, _result(reach, id))


@lab.command(cls=Command)
@asks
def compare(reach: Reach, a: Id, b: Id) -> None:
    """Show two results beside each other: what both have measured."""
    before, after = _result(reach, a), _result(reach, b)
    found = compared(before, after)
    if not found:
        fail(f"{a} and {b} have measured nothing that is the same", REFUSED)
    rows = (
        (
            one.variant,
            "" if one.factor is None else f"{one.factor:g}",
            one.figure,
            f"{one.before:,.1f}",
            f"{one.after:,.1f}",
            f"{one.ratio:.2f}",
            one.says,
        )
        for one in found
    )
    columns = ("VARIANT", (after.experiment.factor or "").upper() or "AT", "FIGURE", "A", "B", "B/A", "B IS")
    reach.answer(found, table(columns, rows, right=frozenset({columns[1], "A", "B", "B/A"})))
    if not same_machine(before, after):
        reach.hint("They were measured on different machines, or with different versions.")
    if not same_affinity(before, after):
        reach.hint(
            f"They were measured with different affinity: {before.experiment.affinity}, {after.experiment.affinity}."
        )


def _experiment(what: str) -> dict[str, Any]:
    """A file's fields, or a built-in one's name. Ends the program where a file says something that is none."""
    try:
        path = echodeck.expand_user(what)
        if not path.suffix and not path.exists():
            return {"name": what}
        text = path.read_text(encoding="utf-8-sig")
        fields = tomllib.loads(text)
    except OSError as error:
        fail(f"{what}: cannot be read: {error.strerror or error}", INVALID)
    except UnicodeDecodeError:
        fail(f"{what}: is not UTF-8", INVALID)
    except tomllib.TOMLDecodeError as reason:
        fail(f"{what}: {reason}", INVALID)
    try:
        Experiment.model_validate(fields)
    except ValidationError as reason:
        for one in reason.errors():
            place = [str(part) for part in one["loc"]]
            message = "There is no such field." if one["type"] == "extra_forbidden" else one["msg"]
            message = message.removeprefix("Value error, ")
            print_error(escape(f"{what}:{_line_of(text, place)}: {'.'.join(place)}: {message}"))
        raise typer.Exit(INVALID) from None
    return fields


def _line_of(text: str, place: list[str]) -> int:
    """Where the field begins that is meant; the first line for what is not found."""
    name = next((one for one in reversed(place) if not one.isdecimal()), "")
    for number, line in enumerate(text.splitlines(), 1):
        if line.partition("=")[0].strip().strip("\"'[] ").rpartition(".")[2] == name:
            return number
    return 1


def _followed(reach: Reach, begun: echodeck.Experiment) -> echodeck.Experiment:
    """How it ended."""
    with _bar(begun.progress.of) as advance:
        while True:
            now = reach.deck.experiment(begun.id)
            advance(now.progress.trial)
            if now.over:
                return now
            time.sleep(LOOK_EVERY)


@contextmanager
def _bar(of: int) -> Iterator[Any]:
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console  # slow to import, and needed in a terminal only
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("measuring"),
        BarColumn(),
        TextColumn("{task.completed} of {task.total}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=of)
        yield lambda done: progress.update(task, completed=done)


def _result(reach: Reach, id: str) -> Result:
    try:
        path = echodeck.expand_user(id)
        if path.suffix or path.exists():
            return _parsed(path.read_bytes(), id)
    except OSError as error:
        fail(f"{id}: cannot be read: {error.strerror or error}", INVALID)
    return _parsed(json.dumps(reach.deck.result(id)), id)


def _parsed(text: str | bytes, where: str) -> Result:
    try:
        return parse(text)
    except NoResult as reason:
        _no_result(where, reason)


def _no_result(where: str, reason: NoResult) -> NoReturn:
    fail(escape(f"{where}: {reason}"), INVALID)


def _show(reach: Reach, result: Result) -> None:
    if reach.as_json:
        reach.answer_json(json.loads(result.model_dump_json(by_alias=True)))
        return
    if result.experiment.question:
        print_answer(result.experiment.question)
    print_answer(_points(result))
    for affinity, server, generator in result.cores:
        print_answer(f"affinity {affinity}: cores of the server {server or '-'}; of the generator {generator or '-'}")
    for one in result.verdicts:
        if one.sure and one.ratio:
            at = "" if one.factor is None else f" at {one.factor:g}"
            print_answer(
                f"{one.better} is better than {one.than}{at}: {FIGURES[one.figure].title}, ratio {one.ratio:.2f} "
                f"({one.low:.2f} to {one.high:.2f})"
            )
    for held in result.expected:
        bounds = " and ".join(
            f"{word} {bound:g}" for word, bound in (("below", held.below), ("above", held.above)) if bound is not None
        )
        at = "" if held.factor is None else f" at {held.factor:g}"
        value = "not measured" if held.value is None else f"{held.value:g}"
        print_answer(f"{'✓' if held.holds else '✗'} {held.figure} of {held.variant}{at} {bounds}: {value}")
    for note in result.noise.notes:
        reach.hint(note)


def _points(result: Result) -> list[Line]:
    factor = result.experiment.factor
    most = max((one.msgs_per_s for one in result.points), default=1.0) or 1.0
    rows = (
        (
            one.variant,
            *([f"{one.factor:g}"] if factor else []),
            f"{one.msgs_per_s:,.0f}",
            BARS[min(7, int(one.msgs_per_s / most * 7.99))] if to_terminal() else "",
            _time(one.p50_us),
            _time(one.p99_us),
            _time(one.max_us),
            "-" if one.cpu_us_per_message is None else f"{one.cpu_us_per_message:.1f} µs",
            "-" if one.server_share is None else f"{one.server_share:.0%}",
            "-" if one.memory_per_connection is None else f"{one.memory_per_connection / 1024:.1f} KiB",
            str(sum(one.errors.values())),
            "; ".join(_remarks(one)),
        )
        for one in result.points
    )
    columns = (
        "VARIANT",
        *([factor.upper()] if factor else []),
        *("MSGS/S", "", "P50", "P99", "WORST", "CPU/MSG", "CPU", "MEMORY", "ERRORS", "REMARKS"),
    )
    right = frozenset({*columns} - {"VARIANT", "REMARKS", ""})
    return table(columns, rows, right=right, gives_way=("REMARKS", "MEMORY", "ERRORS", "WORST"))


def _remarks(point: Any) -> Iterator[str]:
    if not point.sustained:
        yield "not sustained"
    if point.generator_limited:
        yield "the generator was the limit"
    if point.spoiled:
        yield "others disturbed it"


def _time(us: float | None) -> str:
    if us is None:
        return "-"
    return f"{us / 1000:.2f} ms" if us >= 1000 else f"{us:.0f} µs"
