"""Something that is measured of a tree, and the rows that it has in a table."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.bench.tree import Tree

Measure = Callable[[], list[float]]
"""Measures all rows of a subject once, in their order."""


@dataclass(frozen=True)
class Base:
    """What a figure is given as a multiple of; ``measure`` gives seconds."""

    name: str
    measure: Callable[[], float]


@dataclass(frozen=True)
class Row:
    """Of its figure, less is better."""

    name: str
    unit: str
    base: Base | None = None


@dataclass(frozen=True)
class Subject:
    """``measuring`` prepares a tree for as long as it lasts. It and what it gives may raise NotMeasured."""

    rows: tuple[Row, ...]
    measuring: Callable[[Tree], AbstractContextManager[Measure]]
