"""What trials say together, and what they do not say.

A verdict comes from the ratios of rounds, in which both were measured one after the other: "better" only if all of them
are on one side of 1, and their median differs by a tenth. The same server against itself is "always faster" in some
rounds; measured in one order, in a third of all experiments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from statistics import median

from app.experiments.experiment import MORE_IS_BETTER, Experiment
from app.experiments.histogram import Histogram
from app.experiments.result import Held, Noise, Point, Trial, Verdict

ROUNDS = 5
"""Good ones, under which nothing is said."""

DIFFERS = 0.10

NEED_P99, NEED_P999 = 1_000, 10_000
"""Messages without which a percentile is a matter of chance."""

JUDGED = ("msgs_per_s", "p50_us", "p99_us", "cpu_us_per_message", "memory_per_connection")


def percentiles(histogram: Histogram) -> dict[str, float | None]:
    """In µs."""

    def at(share: float, need: int) -> float | None:
        found = histogram.percentile(share) if histogram.count >= need else None
        return None if found is None else round(found * 1e6, 1)

    return {
        "p50_us": at(0.5, 1),
        "p90_us": at(0.9, 10),
        "p99_us": at(0.99, NEED_P99),
        "p999_us": at(0.999, NEED_P999),
        "max_us": round(histogram.most * 1e6, 1) if histogram.count else None,
    }


def good(trials: Sequence[Trial], label: str, factor: float | None) -> list[Trial]:
    """Those of a variant at a value, without the spoiled ones where there are others."""
    found = [one for one in trials if one.variant == label and one.factor == factor]
    return [one for one in found if not one.spoiled] or found


def histogram_of(trials: Sequence[Trial]) -> Histogram:
    found = Histogram()
    for one in trials:
        found.merge(Histogram.of(one.histogram))
    return found


def _median(trials: Sequence[Trial], figure: str) -> float | None:
    values = [value for one in trials if (value := getattr(one, figure)) is not None]
    return median(values) if values else None


def points(experiment: Experiment, trials: Sequence[Trial]) -> list[Point]:
    """One for each variant and value that was measured at all."""
    found = []
    for label in experiment.labels:
        for value in experiment.values:
            all_of_it = [one for one in trials if one.variant == label and one.factor == value]
            if not all_of_it:
                continue
            of = good(trials, label, value)
            rates = [one.msgs_per_s for one in of]
            errors: Counter[str] = Counter()
            for one in all_of_it:
                errors.update(one.errors)
            found.append(
                Point(
                    variant=label,
                    factor=value,
                    rounds=len(of),
                    msgs_per_s=median(rates),
                    msgs_per_s_range=(min(rates), max(rates)),
                    bytes_per_s=median(one.bytes_per_s for one in of),
                    **percentiles(histogram_of(of)),
                    server_share=_median(of, "server_share"),
                    cpu_us_per_message=_median(of, "cpu_us_per_message"),
                    lag_p99_ms=_median(of, "lag_p99_ms"),
                    memory_per_connection=_median(of, "memory_per_connection"),
                    errors=dict(errors),
                    sustained=sum(one.sustained for one in of) * 2 > len(of),
                    generator_limited=next((one.generator_limited for one in of if one.generator_limited), None),
                    spoiled=sum(one.spoiled for one in all_of_it),
                )
            )
    return found


def _ratios(trials: Sequence[Trial], one: str, other: str, factor: float | None, figure: str) -> Iterator[float]:
    by_round = {
        (trial.variant, trial.round): getattr(trial, figure)
        for trial in trials
        if trial.factor == factor and not trial.spoiled
    }
    for number in sorted({number for _, number in by_round}):
        mine, its = by_round.get((one, number)), by_round.get((other, number))
        if mine and its:
            yield mine / its


def verdicts(experiment: Experiment, trials: Sequence[Trial]) -> list[Verdict]:
    """Each pair of variants at each value, in each figure that both have."""
    found = []
    for one, other in combinations(experiment.labels, 2):
        for factor in experiment.values:
            for figure in JUDGED:
                ratios = list(_ratios(trials, one, other, factor, figure))
                measured = {trial.variant for trial in trials if trial.factor == factor and getattr(trial, figure)}
                if {one, other} <= measured:
                    found.append(_verdict(figure, factor, (one, other), ratios))
    return found


def _verdict(figure: str, factor: float | None, between: tuple[str, str], ratios: Sequence[float]) -> Verdict:
    made = Verdict(
        figure=figure,
        factor=factor,
        better=None,
        than=None,
        between=between,
        ratio=None,
        low=None,
        high=None,
        rounds=len(ratios),
        sure=False,
        says="can't tell",
    )
    if not ratios:  # all rounds were spoiled
        return made
    ratio, low, high = median(ratios), min(ratios), max(ratios)
    made = made.model_copy(update={"ratio": round(ratio, 4), "low": round(low, 4), "high": round(high, 4)})
    if len(ratios) < ROUNDS:
        return made
    if low <= 1 <= high or abs(ratio - 1) < DIFFERS:
        return made.model_copy(update={"says": "no difference shown"})
    first = (ratio > 1) == (figure in MORE_IS_BETTER)
    better, than = between if first else between[::-1]
    return made.model_copy(update={"better": better, "than": than, "sure": True, "says": "better"})


def _said(sentence: str) -> str:
    """Marks what the page translates."""
    return sentence


def noise(trials: Sequence[Trial], repeated: int) -> Noise:
    """What a reader should know of the circumstances."""
    spoiled = [one for one in trials if one.spoiled]
    heard: dict[tuple[str, int | None], float] = {}
    worst = {}
    for trial in trials:
        for one in trial.neighbours:
            key = one.name, one.pid
            if one.share > heard.get(key, 0.0):
                heard[key] = one.share
                worst[key] = one
    neighbours = sorted(worst.values(), key=lambda one: -one.share)[:5]
    notes = []
    if spoiled:
        names = ", ".join(f"{one.name} ({one.share:.0%} of a processor)" for one in neighbours) or "others"
        notes.append(
            _said(
                f"{len(spoiled)} of {len(trials)} trials were spoiled by what else used the processors, though "
                f"repeated: {names}. Verdicts leave them out."
            )
        )
    elif repeated:
        notes.append(
            _said(f"Repeated, because others used the processors meanwhile: {repeated} of {len(trials)} trials.")
        )
    limited = [one for one in trials if one.generator_limited]
    if limited:
        notes.append(
            _said(
                f"In {len(limited)} of {len(trials)} trials the generator was the limit "
                f"({limited[0].generator_limited}): the server can do more than is shown."
            )
        )
    if any(one.sustained is False for one in trials):
        notes.append(_said("Where the offered rate was not reached, the point is marked as not sustained."))
    if failed := sum(sum(one.errors.values()) for one in trials):
        kinds: Counter[str] = Counter()
        for trial in trials:
            kinds.update(trial.errors)
        notes.append(
            _said(f"{failed:,} errors of clients: {', '.join(f'{kind} ({n:,})' for kind, n in kinds.most_common(3))}.")
        )
    notes += _affinity_notes(trials)
    others = [one.others for one in trials if one.others is not None]
    return Noise(
        others=max(others) if others else None,
        spoiled=len(spoiled),
        repeated=repeated,
        neighbours=neighbours if spoiled or repeated else [],
        notes=notes,
    )


def _affinity_notes(trials: Sequence[Trial]) -> Iterator[str]:
    if trials and all(one.server_cores == one.generator_cores and len(one.server_cores or ()) == 1 for one in trials):
        yield _said("Server and generator shared a core: ratios say more than figures.")
    elif {one.affinity for one in trials} == {"free"}:
        yield _said(
            "The kernel chose the cores of server and generator (affinity = free): with a core each, a variant with "
            "threads may rank otherwise."
        )
    elsewhere = next((one.variant for one in trials if one.server_cores is None and one.affinity != "free"), None)
    if elsewhere:
        yield _said(f"The affinity of {elsewhere} is not the lab's to set: only the generator's was.")


def expected(experiment: Experiment, found: Sequence[Point]) -> list[Held]:
    """Each expectation at each value of the factor; one that was not measured does not hold."""
    held = []
    for one in experiment.expect:
        for value in experiment.values:
            point = next((each for each in found if each.variant == one.variant and each.factor == value), None)
            figure: float | None = getattr(point, one.figure, None)
            holds = (
                figure is not None
                and (one.below is None or figure < one.below)
                and (one.above is None or figure > one.above)
            )
            held.append(
                Held(
                    figure=one.figure,
                    variant=one.variant,
                    factor=value,
                    value=figure,
                    below=one.below,
                    above=one.above,
                    holds=holds,
                )
            )
    return held
