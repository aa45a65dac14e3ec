"""``echodeck calls``: what a server asks of the kernel, like strace. ``echodeck compare``: clients by a script, come to
several variants."""

from __future__ import annotations

import sys
from base64 import b64decode
from pathlib import Path
from typing import Annotated, Any

import typer

import echodeck
from app.commands.servers import Name
from app.console.reach import Reach, asks
from app.console.tables import escape, print_answer, table
from app.program.exit_codes import INVALID, REFUSED, fail, print_error

WAITS = {"wait", "select"}
BLOCKS = {"accept", "recv", "recv_into", "send", "sendall", "sendmsg"}
LONG = 0.0008
"""Seconds from which on a call counts as waiting."""

ENDS = {
    "stopped": "the server has stopped",
    "removed": "the server was removed",
    "app ends": "the app ends",
    "too slow": "this was read too slowly",
    "failed": "the lens has failed; the server goes on",
}


@asks
def calls(
    reach: Reach,
    name: Name,
    waits: Annotated[bool, typer.Option("--waits", help="Each wait of the loop, not only their sum.")] = False,
    lines: Annotated[int | None, typer.Option("--lines", "-n", min=1, help="End after so many lines.")] = None,
) -> None:
    """Show each call that a server makes on its sockets and selectors, as it makes it. Ctrl+C ends it.

    Equal calls in a row are folded, and where there are very many, equal ones of a second; the counts are exact. --json
    prints each as a line of JSON.
    """
    printer = _Printer(waits, lines)
    for news in reach.deck.calls(name):
        if news.kind == "begin":
            if news.data["unseen"]:
                print_error(escape(news.data["unseen"]))
        elif news.kind == "calls":
            for one in news.data["calls"]:
                if reach.as_json:
                    reach.answer_json(one)
                    printer.count()
                else:
                    printer.print(one)
        elif news.kind in ("end", "dropped"):
            reason = news.data["reason"]
            print_error(ENDS.get(reason, reason))
            raise typer.Exit(0 if reason in ("stopped", "removed") else REFUSED)


class _Printer:
    """Lines as strace has them. The loop's waits between two other calls are one line."""

    def __init__(self, waits: bool, lines: int | None) -> None:
        self._waits = waits
        self._left = lines
        self._slept: list[dict[str, Any]] = []
        self._open: set[int] = set()

    def print(self, one: dict[str, Any]) -> None:
        if one["call"] == "wait" and not self._waits:
            self._slept.append(one)
            return
        self._flush()
        self._line(one)

    def count(self) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                raise typer.Exit(0)

    def _flush(self) -> None:
        if not self._slept:
            return
        first, times = self._slept[0], sum(one["times"] for one in self._slept)
        took, ready = sum(one["took"] for one in self._slept), sum(one["result"] or 0 for one in self._slept)
        self._slept.clear()
        self._put(first, f"wait() = {ready} ready{f' × {times:,}' if times > 1 else ''}", took)

    def _line(self, one: dict[str, Any]) -> None:
        resumed = one["n"] in self._open
        self._open.discard(one["n"])
        arguments = ", ".join(str(value) for value in one["args"].values())
        if one["took"] is None:
            self._open.add(one["n"])
            self._put(one, f"{one['call']}({arguments} <unfinished ...>", None)
            return
        said = f' "{_shown(one["bytes"])}"' if one["bytes"] else ""
        times = f" × {one['times']:,}" if one["times"] > 1 else ""
        outcome = one["errno"] or ("?" if one["result"] is None else one["result"])
        begun = f"<... {one['call']} resumed>)" if resumed else f"{one['call']}({arguments})"
        self._put(one, f"{begun} = {outcome}{said}{times}", one["took"])

    def _put(self, one: dict[str, Any], words: str, took: float | None) -> None:
        line = f"  line {one['line']}" if one["line"] else ""
        spent = "" if took is None else f"  <{took:.6f}>"
        print_answer(f"{one['at']:12.6f}  {one['on']:>9}  {words}{spent}{line}")
        self.count()


def _shown(encoded: str) -> str:
    text = b64decode(encoded).decode("utf-8", "backslashreplace")
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
    return "".join(
        named.get(char) or (char if char.isprintable() else "".join(f"\\x{byte:02x}" for byte in char.encode()))
        for char in text
    )


@asks
def compare(
    reach: Reach,
    script: Annotated[
        str | None,
        typer.Argument(metavar="SCRIPT", help="A script's name, a file (TOML), or - for stdin.", show_default=False),
    ] = None,
    variants: Annotated[
        list[str] | None,
        typer.Argument(metavar="VARIANT...", help="Up to four; those of the script's lesson.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the pictures there, as one HTML file."),
    ] = None,
) -> None:
    """Play a script of clients to fresh servers of several variants, and show what each waited for.

    Without a script, list those that come with the app. The pictures are on the page whose address is printed.
    """
    known = {one["name"]: one for one in reach.deck.scripts()}
    if script is None:
        _list(reach, known)
        return
    chosen = variants or (known[script]["variants"] if script in known else [])
    if not chosen:
        fail("name the variants to be compared: two to four", INVALID)
    made = reach.deck.compare(script if script in known else _read(script), chosen)
    if output is not None:
        try:
            output.write_text(reach.deck.comparison_as_html(made["id"]), encoding="utf-8")
        except OSError as error:
            fail(f"--output {output}: {error.strerror or error}", INVALID)
    if reach.as_json:
        reach.answer_json(made)
        return
    columns = ("VARIANT", "CALLS", "EAGAIN", "BLOCKED", "ASLEEP", "IN QUEUE")
    rows = [_row(one) for one in made["items"]]
    print_answer(table(columns, rows, right=frozenset(columns[1:])))
    reach.hint(f"The pictures: {reach.deck.url}/ui/comparisons/{made['id']}")


def _list(reach: Reach, known: dict[str, dict[str, Any]]) -> None:
    rows = [(name, ", ".join(one["variants"]), one["title"], one["lesson"]) for name, one in known.items()]
    answer = table(("NAME", "VARIANTS", "TITLE", "LESSON"), rows, gives_way=("LESSON", "VARIANTS"))
    if reach.as_json:
        reach.answer_json({"items": list(known.values())})
    else:
        print_answer(answer)


def _read(script: str) -> str:
    try:
        return sys.stdin.read() if script == "-" else echodeck.expand_user(script).read_text(encoding="utf-8")
    except FileNotFoundError:
        fail(escape(f"there is no script and no file {script!r}; `echodeck compare` lists the scripts"), INVALID)
    except (OSError, UnicodeError) as error:
        fail(escape(f"{script}: cannot be read: {error}"), INVALID)


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    zero = one["zero"]
    made = [call for call in one["calls"] if call["took"] is None or call["at"] + call["took"] >= zero]
    spent = {"blocked": 0.0, "asleep": 0.0}
    for call in made:
        took = call["took"] if call["took"] is not None else max(0.0, one["seconds"] - call["at"])
        took = min(took, call["at"] + took - zero)
        if call["call"] in WAITS:
            spent["asleep"] += took
        elif call["call"] in BLOCKS and call["times"] == 1 and took > LONG:
            spent["blocked"] += took
    return (
        one["variant"],
        f"{sum(call['times'] for call in made if call['call'] != 'wait'):,}",
        f"{sum(call['times'] for call in made if call['errno'] == 'EAGAIN'):,}",
        f"{spent['blocked']:.2f} s",
        f"{spent['asleep']:.2f} s",
        str(max((state["queue"] for state in one["states"]), default=0)),
    )
