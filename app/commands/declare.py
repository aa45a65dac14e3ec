"""Servers declared in a file: ``echodeck apply`` applies the file, ``echodeck export`` writes one."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

import echodeck
from app.console.reach import Reach, asks
from app.console.tables import Line, escape, print_answer, to_terminal
from app.declaring import declared, plan
from app.declaring.declared import Undeclarable
from app.declaring.plan import Course, Kind, Plan, Present, Step
from app.program.exit_codes import INVALID, REFUSED, fail, print_error
from app.supervising.lifecycle import State
from app.supervising.spec import PLACE, SETTINGS, ServerSpec

STDIN = Path("-")

SECONDS_TO_APPEAR = 3.0
"""For a server whose name is taken to be known to the node that is asked."""

MANY = 20
"""From this number of steps on, a progress bar is shown."""

SIGNS = {Kind.CREATE: "+", Kind.REMOVE: "-", Kind.CHANGE: "~", Kind.START: ">", Kind.STOP: "."}
COLOURS = {Kind.CREATE: "green", Kind.REMOVE: "red", Kind.CHANGE: "yellow", Kind.START: "green", Kind.STOP: "red"}


@asks
def apply(
    reach: Reach,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Servers, in TOML; - for stdin.", allow_dash=True)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the steps, and do none of them.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove the servers that the file does not declare.")] = False,
) -> None:
    """Make the servers equal to what a file declares: show the differences, and apply them.

    A field that the file leaves out has its default. A server that is to start is started if it does not run, even if
    it ended by itself. Exit code 1: at least one step failed; 2: the file is invalid, and nothing was done.
    """
    specs = _read_specs(reach, file)
    there = present(reach.deck.servers())
    made = plan.make(specs, there, {one.name for one in there} if prune else ())
    if not reach.as_json:
        print_answer(format_plan(made))
    results: list[dict[str, Any]] = []
    try:
        if not dry_run:
            for step, reason in carry_out(reach.deck, made):
                results.append({**encode_step(step), "done": reason is None, "reason": reason})
                if not reach.as_json:
                    _print_step(step, reason)
    finally:
        if reach.as_json:
            rest = [encode_step(step) for step in made.steps[len(results) :]]
            reach.answer_json({"steps": results + rest, "kept": made.kept, "undeclared": made.undeclared})
    if failed := sum(not one["done"] for one in results):
        fail(f"{failed} of {len(made.steps)} steps could not be done", REFUSED)


@asks
def export(
    reach: Reach,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write to this file.  \\[stdout]")] = None,
) -> None:
    """Write the servers as a file for apply and serve --config. Fields that have their default are left out."""
    there = present(reach.deck.servers())
    if reach.as_json:
        text = json.dumps({"server": [declared.declaration(one) for one in there]}, ensure_ascii=False) + "\n"
    else:
        text = declared.write(there)
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"--output {output}: {error.strerror or error}", INVALID)


def _read_specs(reach: Reach, file: Path) -> list[ServerSpec]:
    """The file's specs. All errors in it are reported even if the app cannot be asked for its variants."""
    try:
        content = sys.stdin.buffer.read() if file == STDIN else file.read_bytes()
    except OSError as error:
        fail(f"{file}: cannot be read: {error.strerror or error}", INVALID)
    where = "stdin" if file == STDIN else str(file)
    try:
        try:
            variants = [one.name for one in reach.deck.variants()]
        except (echodeck.Unreachable, echodeck.Refused):
            declared.read(content, where)
            raise
        return declared.read(content, where, variants)
    except Undeclarable as reason:
        for line in reason.errors:
            print_error(line)
        raise typer.Exit(INVALID) from None


def present(servers: Iterable[echodeck.Server]) -> list[Present]:
    """The app's answer for the plan; ends the program if the answer is invalid in this version."""
    try:
        return [
            Present(
                one.name,
                ServerSpec.model_validate(one.spec),
                State(one.state),
                one.desired,
                one.exit.message if one.exit else "",
            )
            for one in servers
        ]
    except (ValidationError, ValueError) as error:
        fail(f"the app has another version, and its answer is invalid here: {escape(str(error))}", REFUSED)


def carry_out(deck: echodeck.Client, made: Plan) -> Iterator[tuple[Step, str | None]]:
    """Yields each step when it is done, with the reason if it failed."""
    course = Course()
    with _bar(len(made.steps)) as bar:
        for step in made.steps:
            reason = course.hindrance(step)
            if reason is None:
                try:
                    _apply_step(deck, step)
                except echodeck.Refused as refused:
                    if refused.name == "name-taken" and _exists_as_declared(deck, step):
                        bar()
                        yield step, None
                        continue
                    if refused.name in {"token-required", "read-only"}:
                        raise  # the other steps would fail alike
                    reason = refused.detail
            if reason is not None:
                course.undone[step.key] = reason
            bar()
            yield step, reason


def _exists_as_declared(deck: echodeck.Client, step: Step) -> bool:
    """Whether another client has created the same server since the plan was made.

    In a fleet a name is taken a moment before every node knows who has it.
    """
    if step.spec is None:
        return False
    until = time.monotonic() + SECONDS_TO_APPEAR
    while True:
        try:
            left = plan.make([step.spec], present([deck.server(step.name)])).steps
        except echodeck.Refused as refused:
            if refused.name != "unknown" or time.monotonic() >= until:
                return False
            time.sleep(0.1)
        else:
            return all(one.kind is not Kind.CHANGE for one in left)


def _apply_step(deck: echodeck.Client, step: Step) -> None:
    match step.kind:
        case Kind.REMOVE:
            deck.remove(step.name)
        case Kind.STOP:
            deck.stop(step.name)
        case Kind.CHANGE:
            deck.change(step.name, **step.changes)
        case Kind.CREATE:
            assert step.spec
            deck.create(**step.spec.model_dump(mode="json"))
        case Kind.START:
            deck.start(step.name)


@contextmanager
def _bar(steps: int) -> Iterator[Any]:
    if steps < MANY or not to_terminal():
        yield lambda: None
        return
    beside = sys.stderr.isatty()  # errors that are redirected must not appear above the bar
    from rich.console import Console  # slow to import, and needed in a terminal only
    from rich.progress import Progress

    with Progress(console=Console(), transient=True, redirect_stderr=beside) as progress:
        task = progress.add_task("", total=steps)
        yield lambda: progress.advance(task)


def _print_step(step: Step, reason: str | None) -> None:
    if reason is None:
        print_answer(f"{plan.DONE[step.kind]} {step.name}")
    else:
        print_error(escape(f"cannot {step.kind} {step.name}: {reason}"))


def format_plan(made: Plan) -> list[Line]:
    """A plan for people: one line for each server, and one for each field that changes."""
    lines, counts = list[Line](), Counter[Kind]()
    width = max((len(step.name) for step in made.steps), default=0)
    for steps in made.by_server():
        main = next((step for step in steps if step.kind in {Kind.CREATE, Kind.CHANGE}), steps[0])
        counts[main.kind] += 1
        lines.append(Line(f"{SIGNS[main.kind]} {main.name:{width}}  {_headline(steps)}", COLOURS[main.kind]))
        lines += (Line(f"    {one.field}: {_value(one.before)} -> {_value(one.after)}") for one in main.differences)
    if made.undeclared:
        lines.append(Line(f"Not declared, so left alone (--prune removes): {', '.join(made.undeclared)}"))
    kept = f"{len(made.kept)} already as declared" if made.kept else ""
    counted = [f"{counts[kind]} to {kind}" for kind in SIGNS if counts[kind]]
    if not made.steps:
        return [*lines, Line(f"Nothing to do{f': {kept}' if kept else ''}.")]
    return [*lines, Line(f"{', '.join(filter(None, [*counted, kept]))}.")]


def _headline(steps: list[Step]) -> str:
    kinds = {step.kind: step for step in steps}
    start = kinds.get(Kind.START)
    why = f" ({start.why})" if start and start.why else ""
    if create := kinds.get(Kind.CREATE):
        assert create.spec
        then = f"and start{why}" if start else "but do not start"
        return f"create {_described(create.spec)}, {then}"
    if change := kinds.get(Kind.CHANGE):
        moves = any(one.field in PLACE for one in change.differences)
        if Kind.STOP in kinds:
            return f"change, with a stop and a start{why}: it moves" if start and moves else "stop and change"
        return f"change and start{why}" if start else "change"
    return " and ".join(step.kind.value for step in steps) + why


def _described(spec: ServerSpec) -> str:
    settings = [
        f"{name} {_value(getattr(spec, name))}"
        for name in plan.FIELDS
        if name not in PLACE and getattr(spec, name) != SETTINGS[name].default
    ]
    return ", ".join([f"{spec.variant} on {spec.host} port {spec.port or 'that is free'}", *settings])


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def encode_step(step: Step) -> dict[str, Any]:
    """A step as JSON."""
    spec = step.spec.model_dump(mode="json") if step.spec else None
    differences = [{"field": one.field, "before": one.before, "after": one.after} for one in step.differences]
    return {"step": step.kind.value, "server": step.name, "why": step.why, "spec": spec, "differences": differences}
