"""Results as pictures, which page, report, export and README share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.experiments.drawing import MOST_POINTS, NOTES, Line, Place, Strip, Words, bars, lines, number, strips
from app.experiments.experiment import Experiment
from app.experiments.histogram import HALF, UNIT, Histogram, lowest
from app.experiments.result import Point, Result, Trial
from app.experiments.statistics import good, histogram_of


def _(text: str) -> str:
    """Marks the interface's words."""
    return text


@dataclass(frozen=True)
class About:
    """A figure, as it is read."""

    title: str
    unit: str
    scale: float = 1.0


FIGURES = {
    "msgs_per_s": About(_("Messages a second"), ""),
    "bytes_per_s": About(_("Megabytes a second"), "MB/s", 1e-6),
    "p50_us": About(_("Latency, the middle one"), "ms", 1e-3),
    "p90_us": About(_("Latency, 90 of 100 are below"), "ms", 1e-3),
    "p99_us": About(_("Latency, 99 of 100 are below"), "ms", 1e-3),
    "p999_us": About(_("Latency, 999 of 1,000 are below"), "ms", 1e-3),
    "max_us": About(_("The longest latency"), "ms", 1e-3),
    "server_share": About(_("What the server takes of a processor"), "%", 100),
    "cpu_us_per_message": About(_("Processor time of a message"), "µs"),
    "lag_p99_ms": About(_("Lag of the server's loop, p99"), "ms"),
    "memory_per_connection": About(_("Memory of a connection"), "KiB", 1 / 1024),
}
FACTOR_TITLES = {
    "clients": _("clients"),
    "size": _("bytes of a message"),
    "rate": _("messages a second that are offered"),
    "think": _("seconds between messages"),
}


def _note(point: Point) -> str:
    said = (not point.sustained, point.generator_limited is not None, point.spoiled > 0)
    return "".join(sign for sign, holds in zip(NOTES, said, strict=True) if holds)


def by_factor(result: Result, figure: str, words: Words = str) -> str:
    """A figure against what varied; bars where nothing did."""
    experiment, about = result.experiment, FIGURES[figure]
    found = []
    for which, label in enumerate(experiment.labels):
        line = Line(label, which)
        for point in result.points:
            value = getattr(point, figure)
            if point.variant == label and value is not None:
                low, high = _range(result.trials, label, point.factor, figure)
                scale = about.scale
                line.places.append(Place(point.factor or 0.0, value * scale, low * scale, high * scale, _note(point)))
        found.append(line)
    title = words(about.title)
    factor = experiment.factor
    if factor is None:
        return bars(title, about.unit, found, words)
    values = sorted(value for value in experiment.values if value is not None)
    for line in found:
        line.places.sort(key=lambda place: place.x)
    ys = [place.y for line in found for place in line.places if place.y > 0]
    return lines(
        title,
        about.unit,
        words(FACTOR_TITLES[factor]),
        found,
        log_x=values[0] > 0 and values[-1] / values[0] >= 8,
        log_y=bool(ys) and max(ys) / min(ys) >= 20,
        x_ticks=values,
        words=words,
    )


def _range(trials: Sequence[Trial], label: str, factor: float | None, figure: str) -> tuple[float, float]:
    values = [value for one in good(trials, label, factor) if (value := getattr(one, figure)) is not None]
    return (min(values), max(values)) if values else (0.0, 0.0)


def _merged(result: Result, value: float | None) -> list[tuple[int, str, Histogram]]:
    found = []
    for which, label in enumerate(result.experiment.labels):
        histogram = histogram_of(good(result.trials, label, value))
        if histogram.count:
            found.append((which, label, histogram))
    return found


def _middles(histogram: Histogram) -> Iterable[tuple[float, float]]:
    """Each latency that was counted, in ms, and the share of all that are at or below."""
    seen = 0
    for place, count in histogram.places():
        seen += count
        yield (lowest(place) + lowest(place + 1)) / 2 * UNIT * 1000, seen / histogram.count


def _thinned(places: list[Place]) -> list[Place]:
    step = max(1, len(places) // MOST_POINTS)
    return places[::step] if step == 1 or not places else [*places[:-1:step], places[-1]]


def by_percentile(result: Result, value: float | None, words: Words = str) -> str:
    """Latency by percentile, where each step to the right is a tenth as often."""
    found = []
    for which, label, histogram in _merged(result, value):
        places = [Place(1 / (1 - share), at) for at, share in _middles(histogram) if share < 1 - 0.5 / histogram.count]
        places.append(Place(float(max(2, histogram.count)), histogram.most * 1000))
        found.append(Line(label, which, _thinned([one for one in places if one.x >= 1.02])))
    ticks = [2, 10, 100, 1000, 10_000, 100_000, 1_000_000]
    most = max((place.x for line in found for place in line.places), default=10)
    names = {2: "50 %", 10: "90 %", 100: "99 %", 1000: "99.9 %", 10_000: "99.99 %"}
    return lines(
        words(_("Latency by percentile")),
        "ms",
        words(_("share of messages that are faster")),
        found,
        log_x=True,
        log_y=True,
        x_words=lambda tick: names.get(int(tick), f"1 / {number(tick)}"),
        x_ticks=[tick for tick in ticks if tick <= most],
        marks=False,
    )


def by_share(result: Result, value: float | None, words: Words = str) -> str:
    """The cumulative distribution of latency."""
    found = [
        Line(label, which, _thinned([Place(at, share * 100) for at, share in _middles(histogram)]))
        for which, label, histogram in _merged(result, value)
    ]
    return lines(words(_("How many are done by when")), "%", words(_("latency in ms")), found, log_x=True, marks=False)


def over_time(result: Result, value: float | None, words: Words = str) -> str:
    """The worst latency in each tenth of a second, of the last round."""
    found = []
    for which, label in enumerate(result.experiment.labels):
        trials = good(result.trials, label, value)
        if trials:
            places = [Place((n + 1) / 10, worst * 1000) for n, (_, worst) in enumerate(trials[-1].series)]
            found.append(Line(label, which, [one for one in places if one.y > 0]))
    return lines(
        words(_("The worst latency in each tenth of a second")),
        "ms",
        words(_("seconds")),
        found,
        log_y=True,
        marks=False,
    )


def heat_map(result: Result, value: float | None, words: Words = str) -> str:
    """Where the latencies were in each tenth of a second, of the last round: darker is more. A strip a variant."""
    found = []
    for which, label in enumerate(result.experiment.labels):
        if (trials := good(result.trials, label, value)) and any(trials[-1].heat):
            found.append(Strip(label, which, trials[-1].heat))
    return strips(
        words(_("Latency over time")),
        found,
        _latency_of_row,
        0.1,
        words(_("seconds")),
    )


def _latency_of_row(row: int) -> str:
    seconds = lowest(row * HALF) * UNIT
    return f"{seconds * 1e3:.2g} ms" if seconds >= 0.001 else f"{seconds * 1e6:.2g} µs"


def figures(experiment: Experiment, first: Sequence[str] = ()) -> list[str]:
    """What is worth a plot, the most telling first."""
    more = ["msgs_per_s", "p99_us"] if experiment.loop == "closed" else ["p99_us", "p50_us", "msgs_per_s"]
    if experiment.silent:
        more = ["memory_per_connection", "server_share"]
    return list(dict.fromkeys([*first, *more]))
