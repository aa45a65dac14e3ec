"""Pictures as SVG: lines, bars and what is around them. A variant is a colour, a shape, a dash, a word.

Nothing here depends on a theme: classes name the parts, and ``STYLE`` colours them where no page does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 620, 358
LEFT, RIGHT, TOP, BOTTOM = 78, 140, 34, 68
MOST_POINTS = 200
TINY = 1e-9
"""As good as nothing, in every unit here."""

STYLE = """
text{font:14px system-ui,sans-serif;fill:#3d4450}.title{font-weight:600;fill:#14181f}
.axis,.grid{stroke:#d5d9e0;fill:none}
.axis{stroke:#8a93a3}.line{fill:none;stroke-width:1.8}.sign{stroke-width:1.4;fill:#fff}.range{stroke-width:1.4;fill:none}
.column{fill-opacity:.25;stroke-width:0}.note{fill:#9a5b00}.guide{stroke:#8a93a3;stroke-dasharray:2 4;fill:none}
.s0{stroke:#0b6bcb}.s1{stroke:#b3460f}.s2{stroke:#1c7c4a}.s3{stroke:#8a3ffc}.s4{stroke:#a8124e}.s5{stroke:#5c6370}
.column.s0,.heat.s0,.word.s0{fill:#0b6bcb}.column.s1,.heat.s1,.word.s1{fill:#b3460f}.column.s2,.heat.s2,.word.s2{fill:#1c7c4a}.column.s3,.heat.s3,.word.s3{fill:#8a3ffc}
.column.s4,.heat.s4,.word.s4{fill:#a8124e}.column.s5,.heat.s5,.word.s5{fill:#5c6370}.word,.heat{stroke:none}
@media (prefers-color-scheme:dark){text{fill:#b7bfcc}.title{fill:#eef1f6}.axis{stroke:#6b7484}.grid{stroke:#2c333f}
.sign{fill:#12161d}.note{fill:#e8b15c}
.s0{stroke:#6db3f8}.s1{stroke:#f0976a}.s2{stroke:#6fcf97}.s3{stroke:#c29bff}.s4{stroke:#f47ba8}.s5{stroke:#a9b1be}
.column.s0,.heat.s0,.word.s0{fill:#6db3f8}.column.s1,.heat.s1,.word.s1{fill:#f0976a}.column.s2,.heat.s2,.word.s2{fill:#6fcf97}.column.s3,.heat.s3,.word.s3{fill:#c29bff}
.column.s4,.heat.s4,.word.s4{fill:#f47ba8}.column.s5,.heat.s5,.word.s5{fill:#a9b1be}}
"""
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "1 4")
COLOURS = 6

Words = Callable[[str], str]


def _(text: str) -> str:
    """Marks the interface's words."""
    return text


@dataclass
class Place:
    """One point of a line."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass
class Line:
    word: str
    number: int
    places: list[Place] = field(default_factory=list)


@dataclass
class Axis:
    """From a figure to its place. A logarithmic one has no zero."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    def at(self, value: float) -> float:
        if self.log:
            share = (math.log10(max(value, self.low)) - math.log10(self.low)) / math.log10(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        if not self.log:
            step = _step(self.high - self.low)
            first = math.ceil(self.low / step - 1e-9)
            return [n * step for n in range(first, int(self.high / step + 1e-9) + 1)]
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        found = [10.0**n for n in decades]
        if len(found) < 4:
            found = [each * 10.0**n for n in decades for each in (1, 2, 5)]
        return [one for one in found if self.low * 0.999 <= one <= self.high * 1.001]


def _step(span: float) -> float:
    raw = span / 5
    scale = 10.0 ** math.floor(math.log10(raw))
    return next(each * scale for each in (1, 2, 5, 10) if each * scale >= raw)


def _axis(values: Iterable[float], start: float, end: float, log: bool) -> Axis:
    """Log where asked and possible; else from zero."""
    found = [one for one in values if math.isfinite(one)]
    positive = [one for one in found if one > TINY]
    if log and positive:
        low, high = min(positive), max(positive)
        low, high = (low, high) if high / low >= 2 else (low / 1.5, high * 1.5)
        return Axis(low * 0.9, high * 1.12, start, end, True)
    high = max([*found, 0.0])
    high = high if high > TINY else 1.0
    return Axis(min([*found, 0.0]), high * 1.08, start, end, False)


def number(value: float) -> str:
    """Short, as on an axis: 12k, 0.5."""
    if value >= 1e6:
        return f"{value / 1e6:.3g}M"
    if value >= 1e4:
        return f"{value / 1e3:.3g}k"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


class Picture:
    def __init__(self, title: str, words: str) -> None:
        self.parts = [
            f'<svg class="drawing" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{escape(f"{title}. {words}", quote=True)}">',
            f'<text class="title" x="{LEFT}" y="18">{escape(title)}</text>',
        ]

    def add(self, text: str) -> None:
        self.parts.append(text)

    def text(self, x: float, y: float, text: str, more: str = "") -> None:
        self.add(f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(text)}</text>')

    def end(self) -> str:
        return "".join([*self.parts, "</svg>"])


def _mark(x: float, y: float, which: int, size: float = 4.2) -> str:
    colour = f'class="sign s{which % COLOURS}"'
    points: tuple[tuple[float, float], ...]
    match which % 5:
        case 0:
            return f'<circle {colour} cx="{x:.1f}" cy="{y:.1f}" r="{size}"/>'
        case 1:
            points = (x - size, y - size), (x + size, y - size), (x + size, y + size), (x - size, y + size)
        case 2:
            points = (x, y - size - 1), (x + size + 1, y + size), (x - size - 1, y + size)
        case 3:
            points = (x, y - size - 1.5), (x + size + 1.5, y), (x, y + size + 1.5), (x - size - 1.5, y)
        case _:
            points = (x, y + size + 1), (x + size + 1, y - size), (x - size - 1, y - size)
    return f'<polygon {colour} points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}"/>'


def lines(
    title: str,
    unit: str,
    x_title: str,
    found: Sequence[Line],
    *,
    log_x: bool = False,
    log_y: bool = False,
    x_words: Callable[[float], str] = number,
    x_ticks: Sequence[float] | None = None,
    marks: bool = True,
    words: Words = str,
) -> str:
    """``x_ticks`` are where something was measured."""
    places = [place for line in found for place in line.places]
    picture = Picture(title, ", ".join(line.word for line in found))
    if not places:
        picture.text(LEFT, HEIGHT / 2, "-")
        return picture.end()
    x = _axis([place.x for place in places], LEFT + 12, WIDTH - RIGHT - 12, log_x)
    ys = [value for place in places for value in (place.y, place.low, place.high) if value is not None]
    y = _axis(ys, HEIGHT - BOTTOM, TOP + 8, log_y)
    _grid(picture, y, unit)
    last = -math.inf
    for tick in x_ticks or x.ticks():
        at = x.at(tick)
        label = x_words(tick)
        if at - last > 14 + 7.5 * len(label):
            picture.add(f'<path class="grid" d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
            picture.text(at, HEIGHT - BOTTOM + 18, label, ' text-anchor="middle"')
            last = at
    picture.text(LEFT, HEIGHT - 28, x_title)
    for line in found:
        if line.places:
            _line(picture, line, x, y, marks)
    _legend(picture, [(line, y.at(line.places[-1].y)) for line in found if line.places])
    _footnotes(picture, found, words)
    return picture.end()


def _grid(picture: Picture, y: Axis, unit: str) -> None:
    for tick in y.ticks():
        at = y.at(tick)
        picture.add(f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
        picture.text(LEFT - 8, at + 4, f"{number(tick)}{f' {unit}' if unit else ''}", ' text-anchor="end"')
    picture.add(f'<path class="axis" d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')


def _line(picture: Picture, line: Line, x: Axis, y: Axis, marks: bool) -> None:
    colour = f"s{line.number % COLOURS}"
    dash = DASHES[line.number % len(DASHES)]
    path = "L".join(f"{x.at(one.x):.1f} {y.at(one.y):.1f}" for one in line.places)
    picture.add(
        f'<path class="line {colour}" d="M{path}"{f" stroke-dasharray={dash!r}" if dash else ""}/>'.replace("'", '"')
    )
    if not marks:
        return
    for one in line.places:
        at = x.at(one.x)
        if one.low is not None and one.high is not None and one.high > one.low:
            picture.add(f'<path class="range {colour}" d="M{at:.1f} {y.at(one.low):.1f}V{y.at(one.high):.1f}"/>')
        picture.add(_mark(at, y.at(one.y), line.number))
        if one.note:
            picture.text(at + 7, y.at(one.y) - 5, one.note, ' class="note"')


def _legend(picture: Picture, ends: Sequence[tuple[Line, float]]) -> None:
    """The words at the lines' ends, none over another."""
    at = TOP - 6.0
    for line, y in sorted(ends, key=lambda one: one[1]):
        at = max(at + 18, y)
        left = WIDTH - RIGHT + 12
        picture.add(_mark(left, at, line.number, 3.6))
        picture.text(left + 10, at + 4, line.word, f' class="word s{line.number % COLOURS}"')


def bars(title: str, unit: str, found: Sequence[Line], words: Words = str) -> str:
    """One a variant: its median, and the range of its rounds."""
    picture = Picture(title, ", ".join(line.word for line in found))
    found = [line for line in found if line.places]
    if not found:
        picture.text(LEFT, HEIGHT / 2, "-")
        return picture.end()
    left = LEFT + 80
    x = _axis([v for line in found for v in (line.places[0].y, line.places[0].high or 0.0)], left, WIDTH - 100, False)
    for tick in x.ticks():
        picture.add(f'<path class="grid" d="M{x.at(tick):.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        picture.text(
            x.at(tick), HEIGHT - BOTTOM + 18, f"{number(tick)}{f' {unit}' if unit else ''}", ' text-anchor="middle"'
        )
    each = min(44.0, (HEIGHT - TOP - BOTTOM) / len(found))
    for place, line in enumerate(found):
        one = line.places[0]
        middle = TOP + each * (place + 0.5)
        colour = f"s{line.number % COLOURS}"
        wide, high = max(0.0, x.at(one.y) - left), each * 0.6
        picture.add(
            f'<rect class="column {colour}" x="{left}" y="{middle - high / 2:.1f}" '
            f'width="{wide:.1f}" height="{high:.1f}"/>'
        )
        if one.low is not None and one.high is not None and one.high > one.low:
            picture.add(f'<path class="range {colour}" d="M{x.at(one.low):.1f} {middle:.1f}H{x.at(one.high):.1f}"/>')
        picture.add(_mark(x.at(one.y), middle, line.number))
        picture.text(left - 10, middle + 4, line.word, f' class="word {colour}" text-anchor="end"')
        end = max(x.at(one.y), x.at(one.high or 0.0)) + 10
        picture.text(end, middle + 4, f"{number(one.y)}{f' {unit}' if unit else ''} {one.note}".rstrip())
    picture.add(f'<path class="axis" d="M{left} {TOP}V{HEIGHT - BOTTOM}"/>')
    _footnotes(picture, found, words)
    return picture.end()


@dataclass
class Strip:
    """Of a heat map: in each step, how many there are by row."""

    word: str
    number: int
    steps: Sequence[Mapping[int, int]]


def strips(title: str, found: Sequence[Strip], row_words: Callable[[int], str], step: float, x_title: str) -> str:
    """A heat map of each, one under another; ``step`` is in the unit of ``x_title``."""
    picture = Picture(title, ", ".join(strip.word for strip in found))
    rows = [row for strip in found for there in strip.steps for row in there]
    if not rows:
        picture.text(LEFT, HEIGHT / 2, "-")
        return picture.end()
    low, high = min(rows), max(rows) + 1
    tall = (HEIGHT - TOP - BOTTOM) / len(found)
    cell = (tall - 8) / (high - low)
    longest = max(len(strip.steps) for strip in found)
    wide = (WIDTH - LEFT - RIGHT) / longest
    for place, strip in enumerate(found):
        bottom = TOP + tall * (place + 1) - 4
        most = max(count for there in strip.steps for count in there.values())
        for at, there in enumerate(strip.steps):
            for row, count in there.items():
                picture.add(
                    f'<rect class="heat s{strip.number % COLOURS}" x="{LEFT + at * wide:.1f}" '
                    f'y="{bottom - (row - low + 1) * cell:.1f}" width="{wide:.1f}" height="{cell:.1f}" '
                    f'fill-opacity="{0.08 + 0.92 * math.sqrt(count / most):.2f}"/>'
                )
        for row, at_y in ((low, bottom), (high, bottom - tall + 18)):  # within the strip: the next one has words there
            picture.text(LEFT - 8, at_y, row_words(row), ' text-anchor="end"')
        picture.text(WIDTH - RIGHT + 12, bottom - tall / 2 + 8, strip.word, f' class="word s{strip.number % COLOURS}"')
    picture.add(f'<path class="axis" d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')
    picture.text(LEFT, HEIGHT - BOTTOM + 18, "0")
    picture.text(WIDTH - RIGHT, HEIGHT - BOTTOM + 18, f"{longest * step:g}", ' text-anchor="end"')
    picture.text(LEFT, HEIGHT - 28, x_title)
    return picture.end()


# Beside them


NOTES = {"*": _("not sustained"), "†": _("the generator was the limit"), "‡": _("others disturbed it")}
"""Signs at points, and what they say: under the plot."""


def _footnotes(picture: Picture, found: Iterable[Line], words: Words) -> None:
    used = "".join(place.note for line in found for place in line.places)
    text = ", ".join(f"{sign} {words(note)}" for sign, note in NOTES.items() if sign in used)
    if text:
        picture.text(LEFT, HEIGHT - 6, text, ' class="note"')


def standalone(svg: str) -> str:
    """A file of its own, with its colours for light and dark."""
    head, _, rest = svg.partition(">")
    return f"{head}><style>{' '.join(STYLE.split())}</style>{rest}\n"
