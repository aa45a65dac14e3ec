"""What a result looks like: its plots, and all of it as one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.experiments import drawing, plots
from app.experiments.built_in import BUILT_IN, BuiltIn
from app.experiments.result import Result
from app.pages.page import environment
from app.web.words import Words

OF_LATENCY: dict[str, Callable[[Result, float | None, drawing.Words], str]] = {
    "percentiles": plots.by_percentile,
    "distribution": plots.by_share,
    "heat": plots.heat_map,
    "time": plots.over_time,
}


def plots_of(result: Result) -> list[str]:
    """Their names, the most telling first."""
    built_in = built_in_of(result)
    return [*plots.figures(result.experiment, built_in.figures if built_in else ()), *OF_LATENCY]


def plot(result: Result, which: str, words: drawing.Words, value: float | None = None) -> str:
    """As SVG. Those of latency are of one value of the factor, by default the last."""
    if which in OF_LATENCY:
        return OF_LATENCY[which](result, value if value is not None else result.experiment.values[-1], words)
    return plots.by_factor(result, which, words)


def built_in_of(result: Result) -> BuiltIn | None:
    return BUILT_IN.get(result.experiment.name or "")


def values(result: Result, words: Words) -> dict[str, Any]:
    """What the templates of a result take."""
    return {
        "result": result,
        "about": built_in_of(result),
        "plots": [(name, plot(result, name, words.gettext)) for name in plots_of(result)] if result.points else [],
        "factor_title": plots.FACTOR_TITLES.get(result.experiment.factor or ""),
        "figures": plots.FIGURES,
    }


def as_html(result: Result, words: Words) -> str:
    return environment.get_template("report.html").render(
        values(result, words) | {"words": words, "style": drawing.STYLE}
    )
