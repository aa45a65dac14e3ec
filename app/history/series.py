"""Figures over time, bounded: of each server and of the loop, the latest ten minutes by the second and the latest day
by the minute.

The minutes outlast the app, an hour of them in a row of the state file. The seconds do not: to write them down would
cost more, every second, than what they tell is worth after a restart.
"""

from __future__ import annotations

import math
import threading
import time
import zlib
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from app.history.schema import Minutes, Statement, drop_minutes, put_minutes, trim_minutes
from app.history.store import Store

SECONDS = 600
MINUTES = 1440

SAVE_EVERY = 5
"""Minutes between two writes: what a kill -9 costs at most."""

BUSIEST = 6
LEAST_SHARE = 0.001

Every = Literal[1, 60]

_NAN = float("nan")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


Fold = Callable[[Sequence[float]], float]
"""What a minute shows of its seconds."""

OF_SERVER: Mapping[str, Fold] = {
    "bytes_in": sum,
    "bytes_out": sum,
    "open": max,
    "waiting": max,
    "share": _mean,
    "exceptions": sum,
}
"""Bytes and exceptions are those of the step, ``open`` and ``waiting`` clients the most there were, ``share`` is of the
loop's time, or of one processor for a server in threads."""

OF_LOOP: Mapping[str, Fold] = {
    "bytes_in": sum,
    "bytes_out": sum,
    "open": max,
    "waiting": max,
    "exceptions": sum,
    "p50": _mean,
    "p99": max,
    "max": max,
    "app": _mean,
    "idle": _mean,
    "stalled": sum,
}
"""The first five are the sums of all servers; then the loop's lag in ms, its shares, and how often it stood still."""

LOOP = ("", 0)
"""The key of the loop's own series: no server has this name."""


class NoMinutes(Exception):
    """What was kept is broken, or of a version that had other figures."""


class Ring:
    """The latest ``size`` rows of ``width`` figures, a row a step; steps that were left out are NaN."""

    __slots__ = ("_at", "_size", "_values", "_width", "last", "same_until")

    def __init__(self, size: int, width: int) -> None:
        self.last = -1
        self.same_until = -1
        """Up to this step nothing has changed since the last row: cheaper to say than to write, a thousand times a
        second."""
        self._size = size
        self._width = width
        self._values = array("f")
        self._at = 0

    def put(self, step: int, row: array[float]) -> None:
        """Steps grow; one that does not is too late to be told."""
        self._catch_up()
        if step <= self.last:
            return
        missed = step - self.last - 1
        if missed >= self._size:
            self._values, self._at, missed = array("f"), 0, 0
        for _ in range(missed if self._values else 0):
            self._append(array("f", [_NAN]) * self._width)
        self._append(row)
        self.last = step

    def _catch_up(self) -> None:
        same = self.same_until - self.last
        if same > 0 and self._values:
            row = self._values[self._at - self._width :][: self._width] if self._at else self._values[-self._width :]
            for _ in range(min(same, self._size)):
                self._append(row)
            self.last = self.same_until

    def _append(self, row: array[float]) -> None:
        if len(self._values) < self._size * self._width:
            self._values.extend(row)
        else:
            self._values[self._at : self._at + self._width] = row
            self._at = (self._at + self._width) % len(self._values)

    def rows(self, last: int, most: int) -> array[float]:
        """The rows up to the step ``last``, ``most`` at most, one after the other."""
        self._catch_up()
        found = self._values[self._at :] + self._values[: self._at]
        if last < self.last:
            found = found[: max(0, len(found) - (self.last - last) * self._width)]
        elif self._values:
            found += array("f", [_NAN]) * (min(last - self.last, self._size) * self._width)
        return found[max(0, len(found) - min(most, self._size) * self._width) :]


class Series:
    """Of one server, or of the loop. A step is a second of the book's time, or a minute of it."""

    __slots__ = ("_folds", "_guard", "minutes", "names", "seconds")

    def __init__(self, figures: Mapping[str, Fold]) -> None:
        self.names = tuple(figures)
        self._folds = tuple(figures.values())
        self._guard = threading.Lock()  # of the minutes, which the state file's thread reads
        self.seconds = Ring(SECONDS, len(figures))
        self.minutes = Ring(MINUTES, len(figures))

    def fold(self, minute: int) -> None:
        """The minute that has just ended, out of its seconds; nothing if none was seen."""
        rows, width = self.seconds.rows(minute * 60 + 59, 60), len(self.names)
        row = array("f")
        for place, fold in enumerate(self._folds):
            values = rows[place::width]
            if math.isnan(sum(values)):
                values = array("f", [value for value in values if not math.isnan(value)])
            row.append(fold(values) if values else _NAN)
        if not all(map(math.isnan, row)):
            with self._guard:
                self.minutes.put(minute, row)

    def columns(self, every: Every, last: int, most: int) -> dict[str, list[float | None]]:
        """By figure, the oldest first; None where nothing was seen."""
        ring = self.seconds if every == 1 else self.minutes
        rows = ring.rows(last, most)
        return {
            name: [None if value != value else round(value, 4) for value in rows[place :: len(self.names)]]
            for place, name in enumerate(self.names)
        }

    def sum(self, name: str, every: Every, last: int, most: int) -> float:
        """Of one figure, over all steps in which it was seen."""
        rows = (self.seconds if every == 1 else self.minutes).rows(last, most)
        values = rows[self.names.index(name) :: len(self.names)]
        total = sum(values)
        return total if not math.isnan(total) else sum(value for value in values if not math.isnan(value))

    def hour(self, hour: int) -> bytes:
        """Its minutes, packed."""
        with self._guard:
            rows = self.minutes.rows(hour * 60 + 59, 60)
        return zlib.compress(rows.tobytes(), 1)

    def take_hour(self, hour: int, packed: bytes) -> None:
        """Raises:
        NoMinutes: these are none of such figures.
        """
        width = len(self.names)
        try:
            rows = array("f", zlib.decompress(packed))
        except zlib.error as error:
            raise NoMinutes from error
        count, left = divmod(len(rows), width)
        if left or count > 60:
            raise NoMinutes
        for place in range(count):
            row = rows[place * width : (place + 1) * width]
            if not all(map(math.isnan, row)):
                self.minutes.put(hour * 60 + 60 - count + place, row)


class SeriesBook:
    """All series of this app, by server's name and serial.

    Its seconds go on by the monotonic clock from the start of the app, so that none is missed or told twice when
    somebody sets the clock.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._epoch = time.monotonic() - time.time()
        self._all: dict[tuple[str, int], Series] = {}
        self._saved_hour = -1
        self.catch_up: Callable[[], None] = lambda: None
        """To be called before the latest seconds are read, and by whoever brings something to look at."""

    @property
    def second(self) -> int:
        """That is going on, since the epoch."""
        return int(time.monotonic() - self._epoch)

    def left_of(self, second: int) -> float:
        """How long it is until this second ends, in seconds."""
        return second + 1 - (time.monotonic() - self._epoch)

    def of(self, server: str, serial: int) -> Series:
        key = (server, serial)
        found = self._all.get(key)
        if found is None:
            found = self._all[key] = Series(OF_LOOP if key == LOOP else OF_SERVER)
        return found

    def busiest(self, servers: Mapping[str, int], every: Every, last: int, most: int) -> list[str]:
        """Names of the few, of these with their serials, that had most of the loop in these steps."""
        sums = {name: self.of(name, serial).sum("share", every, last, most) for name, serial in servers.items()}
        return sorted((name for name in sums if sums[name] > LEAST_SHARE), key=lambda name: -sums[name])[:BUSIEST]

    def forget(self, server: str, serial: int) -> None:
        if self._all.pop((server, serial), None) is not None:
            self._store.put(drop_minutes(server, serial))

    def remember(self, kept: Iterable[Minutes]) -> None:
        """Begin with the minutes of earlier lives, those of a day."""
        hour = self.second // 3600
        for one in kept:
            if hour - 24 <= one.hour <= hour:
                try:
                    self.of(one.server, one.serial).take_hour(one.hour, one.packed)
                except NoMinutes:
                    continue

    def save(self, minute: int) -> None:
        """Have the hour of this minute written down, and the one before if it was not whole when it was.

        What has nothing of the last day is let go: its server has gone, or rests.
        """
        for key, series in list(self._all.items()):
            if max(series.minutes.last, series.seconds.last // 60) < minute - MINUTES:
                del self._all[key]
        hour = minute // 60
        hours = {hour, max(hour - 1, self._saved_hour)}
        self._saved_hour = hour
        self._store.put(lambda: self._hours(hours))
        self._store.put(trim_minutes(hour - 24))

    def statements(self) -> list[Statement]:
        """Those that write down all of it; on any thread."""
        hour = self.second // 3600
        return self._hours(range(hour - 24, hour + 1))

    def _hours(self, hours: Iterable[int]) -> list[Statement]:
        return [
            put_minutes(Minutes(server, serial, hour, series.hour(hour)))
            for hour in sorted(hours)
            for (server, serial), series in list(self._all.items())
            if series.minutes.last >= hour * 60
        ]
