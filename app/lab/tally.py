"""What a generator counts, once the warm-up is over: answers, how long each took, and both by the tenth of a second."""

from __future__ import annotations

from collections import Counter

from app.experiments.histogram import Histogram

TENTH = 0.1


class Tally:
    """``latency`` is of answers, ``schedule`` of how late messages went, in seconds; ``errors`` are counted all along.

    ``series`` has for each tenth of a second the answers and the longest, ``heat`` how many were of each coarse length.
    """

    def __init__(self) -> None:
        self.latency, self.schedule = Histogram(), Histogram()
        self.errors: Counter[str] = Counter()
        self.messages = 0
        self.counts = False
        self.series: list[tuple[int, float]] = []
        self.heat: list[dict[int, int]] = []
        self._coarse = self.latency.coarse()
        self._began, self._count, self._worst = 0.0, 0, 0.0

    def begin(self, now: float) -> None:
        self.counts, self._began = True, now

    def answered(self, took: float) -> None:
        self.messages += 1
        self.latency.record(took)
        self._count += 1
        if took > self._worst:
            self._worst = took

    def note_tenth(self, now: float) -> None:
        """To be called now and then."""
        if not self.counts or now - self._began < TENTH:
            return
        self.series.append((self._count, self._worst))
        coarse = self.latency.coarse()
        self.heat.append(
            {place: now - was for place, (now, was) in enumerate(zip(coarse, self._coarse, strict=True)) if now > was}
        )
        self._coarse = coarse
        self._began, self._count, self._worst = now, 0, 0.0
